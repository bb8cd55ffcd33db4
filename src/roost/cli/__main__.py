"""`python -m roost.cli`: the same as `roost`."""

from __future__ import annotations

from roost.cli.main import main

if __name__ == "__main__":
    main()
