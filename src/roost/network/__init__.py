"""Network namespaces, veth pairs, routes, nftables (room 3)."""
