"""Revisioned records with compare-and-set and watch (room 3)."""
