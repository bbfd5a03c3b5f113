#!/usr/bin/env bash
# Measures a bundle on Linux with optimized code; see Bench/Bench.swift. Prints a line of JSON.
#
#   ios_demo/bench.sh BUNDLE [THREADS [IMAGE.rgb WIDTH HEIGHT [TOKENS]]]
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2; }
demo="$(cd "$(dirname "$0")" && pwd)"
words=("$@")
words[0]="$(realpath "$1")"
if [ $# -gt 2 ]; then words[2]="$(realpath "$3")"; fi
export POCKETVL_SWIFT_CONFIG=release POCKETVL_SWIFT_OUT="${POCKETVL_SWIFT_OUT:-$demo/build/release}"
exec "$demo/swift.sh" bench "${words[@]}"
