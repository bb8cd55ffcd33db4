"""Releases and strategies (room 4)."""
