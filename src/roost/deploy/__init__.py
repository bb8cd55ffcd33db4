"""Releases and strategies (room 5)."""
