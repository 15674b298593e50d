#!/usr/bin/env bash
# The cluster bench, with what it needs. Arguments go to the bench: scripts/bench.sh --help
set -eu
cd "$(dirname "$0")/.."
scripts/prerequisites.sh redis-server redis-benchmark >&2
exec cargo bench --quiet --bench cluster -- "$@"
