"""Pull and unpack images; the built-in roost/host (room 3)."""
