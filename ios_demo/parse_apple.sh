#!/usr/bin/env bash
# Parses what only Apple's systems compile: SwiftUI screens, camera, images, background transfers, the app. Finds errors
# of syntax, no others. Reads the app's property lists as well.
#
# With --optional nothing is installed: where Swift is missing, that is said, and all is well.
set -euo pipefail
cd "$(dirname "$0")"
if [ "${1:-}" = --optional ]; then ../tools/phone/install_swift.sh --find >/dev/null || exit 0; fi
./swift.sh shell swiftc -frontend -parse \
    Sources/PocketVLUI/Screens/*.swift Sources/PocketVLUI/Apple/*.swift App/Sources/*.swift
python3 - <<'PYTHON'
import pathlib, plistlib
for name in ("Info.plist", "PocketVL.entitlements", "PrivacyInfo.xcprivacy"):
    assert plistlib.loads((pathlib.Path("App") / name).read_bytes()), name
PYTHON
echo "parsed"
