#!/usr/bin/env bash
# Installs what Roost needs of the system, on Debian and Ubuntu as root; elsewhere it names what is
# missing and how to get it. Exits 1 when something that cannot be done without is missing.
set -euo pipefail

# program:package:why
needed=(
  "crun:crun:runs containers (runc works too)"
  "conmon:conmon:keeps their output and exit status"
  "nft:nftables:guards the private networks"
  "catatonit:catatonit:passes signals on and reaps processes inside a Machine"
  "nsenter:util-linux:enters namespaces"
  "cargo:cargo:builds the proxy"
)
useful=(
  "runc:runc:runs containers where crun cannot (rootless on hybrid cgroups)"
  "skopeo:skopeo:fetches and unpacks images"
  "redis-server:redis-server:the demo's TCP app"
  "dig:dnsutils:roost dig, and the DNS tests"
  "curl:curl:tests"
  "ping:iputils-ping:tests"
  "ip:iproute2:tests"
  "nginx:nginx-light:tests and benchmarks"
  "docker-registry:docker-registry:the registry test"
  "newuidmap:uidmap:rootless with more than one user"
  "busybox:busybox-static:the tests' own image"
  "psql:postgresql:tests"
  "mosquitto:mosquitto:tests"
  "mosquitto_pub:mosquitto-clients:tests"
  "dnsmasq:dnsmasq-base:tests"
  "haproxy:haproxy:tests"
  "h2load:nghttp2-client:benchmarks"
)

PATH="$PATH:/usr/sbin:/sbin"
missing() { # prints the packages whose program is missing
  local entry program package
  for entry in "$@"; do
    program=${entry%%:*}; package=${entry#*:}; package=${package%%:*}
    command -v "$program" >/dev/null 2>&1 || echo "$package"
  done
}
explain() {
  local entry program rest
  for entry in "$@"; do
    program=${entry%%:*}; rest=${entry#*:}
    command -v "$program" >/dev/null 2>&1 || printf '  %-16s (package %s): %s\n' "$program" "${rest%%:*}" "${rest#*:}"
  done
}

packages=$(missing "${needed[@]}" "${useful[@]}")
[ -n "$packages" ] || exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  echo "Installing: $(echo $packages)"
  export DEBIAN_FRONTEND=noninteractive
  # No service is started: Roost and its tests start their own.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
  apt-get update -qq
  # shellcheck disable=SC2086
  apt-get install -y -qq --no-install-recommends $packages >/dev/null
else
  echo "These programs are missing; install their packages (as root on Debian or Ubuntu: apt-get install $(echo $packages)):"
  explain "${needed[@]}" "${useful[@]}"
fi
if [ -n "$(missing "${needed[@]}")" ]; then
  echo "Without these Roost cannot run:"
  explain "${needed[@]}"
  exit 1
fi
