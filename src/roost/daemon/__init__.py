"""Composition root of `roost up` (room 6)."""
