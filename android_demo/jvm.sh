#!/usr/bin/env bash
# Compiles and tests the Kotlin parts on this machine's JVM, without Gradle.
#
#   android_demo/jvm.sh test [PATTERN]     compile what changed, run the tests whose class names contain a match
#   android_demo/jvm.sh compile            compile only
#   android_demo/jvm.sh lint [--format]    ktlint
#   android_demo/jvm.sh COMMAND --help     more
set -euo pipefail
exec "${PYTHON:-python3}" "$(dirname "$0")/../tools/phone/jvm.py" "$@"
