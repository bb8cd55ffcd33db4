"""What users ask for: validated, written to the store, handed to the agent (room 4)."""
