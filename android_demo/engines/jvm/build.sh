#!/usr/bin/env bash
# Makes OUT a folder from which onnxruntime's Android classes run in a JVM on this machine; no step where it is there.
#
#   android_demo/engines/jvm/build.sh TOOLS OUT         TOOLS as tools/phone/install.sh prints it
#   LD_LIBRARY_PATH=OUT java -Donnxruntime.native.path=OUT ...
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
library="$1/onnxruntime" out="$2"
if [ -e "$out/complete" ] && [ -z "$(find "$here" "$library/classes.jar" -newer "$out/complete" -print -quit)" ]; then exit; fi
[ "$(uname -sm)" = "Linux x86_64" ] || { echo "the archive's JNI library runs on x86-64 Linux alone" >&2; exit 3; }
rm -rf "$out" && mkdir -p "$out"
cp "$library/libonnxruntime.so" "$library/jni/x86_64/libonnxruntime4j_jni.so" "$out/"
# The version of the library's own symbols, as VERS_1.29.0.
version="$(readelf --dyn-syms --wide "$out/libonnxruntime.so" | sed -n 's/.* OrtGetApiBase@@\([^ ]*\).*/\1/p')"
sed "s/@ONNXRUNTIME/@$version/" "$here/bionic.c" >"$out/bionic.c"
printf 'LIBC { global: *; };\n%s { };\n' "$version" >"$out/versions.map"
for name in libc libdl libm; do
    gcc -O1 -fPIC -fno-builtin -fno-stack-protector -shared -Wall -Wl,-soname,"$name.so" \
        -Wl,--version-script="$out/versions.map" -o "$out/$name.so" "$out/bionic.c" -nostdlib -l:libc.so.6
done
touch "$out/complete"
