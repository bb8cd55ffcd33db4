"""REST under /v1 in the shapes of the Machines API (room 5)."""
