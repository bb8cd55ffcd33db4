"""The canary: tries from inside each network what must be impossible (see base.py)."""
