#!/usr/bin/env bash
# Makes the lock files anew from pyproject.toml and Cargo.toml. They record hashes, no addresses.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/pip install --quiet uv
options=(--quiet --generate-hashes --no-emit-index-url --no-header --no-annotate --upgrade)
.venv/bin/uv pip compile "${options[@]}" pyproject.toml -o requirements.lock
.venv/bin/uv pip compile "${options[@]}" --group dev pyproject.toml -o requirements-dev.lock
cargo update
