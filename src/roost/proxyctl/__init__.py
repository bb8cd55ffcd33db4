"""Snapshot and diff for roost-proxy, and the socket client (room 3)."""
