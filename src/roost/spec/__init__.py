"""Pure parsers (room 2)."""
