"""What holds for all tests, however they are started."""

from __future__ import annotations

import signal

# A shell that starts them in the background has Ctrl-C ignored in them and in all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
