"""Commands: speaks HTTP to the API only (room 6)."""
