#!/usr/bin/env bash
# Builds android_demo/build/pocketvl-VERSION-offline.apk without Gradle: compiled, dexed, signed with a debug key, checked.
#
#   android_demo/build_apk.sh               both kinds of phone (arm64-v8a) and emulator (x86_64)
#   android_demo/build_apk.sh --download    with the INTERNET permission, to download bundles
#   android_demo/build_apk.sh --help        more
set -euo pipefail
exec "${PYTHON:-python3}" "$(dirname "$0")/../tools/phone/apk.py" "$@"
