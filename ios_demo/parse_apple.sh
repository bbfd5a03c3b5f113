#!/usr/bin/env bash
# Parses what only Apple's systems compile: SwiftUI screens, camera, images, background transfers, the app. Finds errors
# of syntax, no others. Reads the app's property lists as well.
set -euo pipefail
cd "$(dirname "$0")"
./swift.sh shell swiftc -frontend -parse Sources/PocketVLUI/Screens/*.swift Sources/PocketVLUI/Apple/*.swift App/Sources/*.swift
python3 - <<'PYTHON'
import pathlib, plistlib
for name in ("Info.plist", "PocketVL.entitlements", "PrivacyInfo.xcprivacy"):
    assert plistlib.loads((pathlib.Path("App") / name).read_bytes()), name
PYTHON
echo "parsed"
