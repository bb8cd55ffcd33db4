"""Pure values: ids, states, records (room 1)."""
