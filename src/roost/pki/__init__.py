"""X.509: roots, what they sign, and what users bring. No I/O; time is an argument."""
