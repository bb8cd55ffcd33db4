"""OCI containers: crun or runc under conmon (room 3)."""
