"""Pure deciders (room 2)."""
