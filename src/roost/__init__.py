"""Roost: private services on your own Linux hosts that sleep until called."""

__version__ = "0.1.0"
