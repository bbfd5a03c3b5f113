#!/usr/bin/env bash
# Measures a bundle on the JVM; see Bench.kt. `android_demo/jvm.sh test engines` compiles it and builds the libraries.
#
#   android_demo/engines/jvm/bench.sh BUNDLE [THREADS [IMAGE.rgb WIDTH HEIGHT [TOKENS]]]
set -euo pipefail
demo="$(cd "$(dirname "$0")/../.." && pwd)"
tools="$("$demo/../tools/phone/install.sh")" build="$demo/build"
classes="$build/jvm"
export LD_LIBRARY_PATH="$build/onnxruntime"
# As on a phone: a heap of 256 MB, and an allocator that gives freed memory back, which glibc does by these alone.
export MALLOC_TRIM_THRESHOLD_=131072 MALLOC_MMAP_THRESHOLD_=131072
exec java -XX:+UseSerialGC -Xms16m -Xmx256m -Donnxruntime.native.path="$build/onnxruntime" \
    -Dpocketvl.executorch="$build/executorch/libpocketvl_executorch.so" -Djna.nosys=false -Djava.library.path="$tools/jars" \
    -cp "$classes/executorch-jvm:$classes/engines-test:$classes/engines:$classes/core:$tools/onnxruntime/classes.jar:$tools/executorch/classes.jar:$tools/jars/jna.jar:$tools/kotlin/lib/kotlin-stdlib.jar:$tools/kotlin/lib/kotlinx-coroutines-core-jvm.jar" \
    dev.pocketvl.bench.Bench "$@"
