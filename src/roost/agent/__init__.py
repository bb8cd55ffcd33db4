"""One host: observe, plan, execute; wake, sleep, supervise (room 4)."""
