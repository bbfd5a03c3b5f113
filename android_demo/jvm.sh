#!/usr/bin/env bash
# Compiles and tests the Kotlin parts on this machine's JVM, without Gradle.
#
#   android_demo/jvm.sh test [PATTERN]     compile what changed, run the tests whose class names match
#   android_demo/jvm.sh compile            compile only
#   android_demo/jvm.sh lint [--format]    ktlint
set -euo pipefail
cd "$(dirname "$0")"
tools="$(../tools/phone/install.sh)"
out="${POCKETVL_JVM_OUT:-build/jvm}"
kotlin="$tools/kotlin/lib"
library="$kotlin/kotlinx-coroutines-core-jvm.jar:$kotlin/kotlin-stdlib.jar"
junit="$kotlin/kotlin-test.jar:$kotlin/kotlin-test-junit5.jar:$(printf '%s:' "$tools"/jars/*.jar)"

# module NAME FOLDER CLASSPATH [OPTION...]: Kotlin sources to classes in $out/NAME, unless nothing changed since.
module() {
    local name="$1" folder="$2" classpath="$3" state
    shift 3
    state="$(find "$folder" -name '*.kt' -print0 | sort -z | xargs -0 sha256sum; cat "$out"/*.used-by-"$name" 2>/dev/null || true)"
    if [ "$(cat "$out/$name.state" 2>/dev/null)" = "$state" ]; then return; fi
    rm -rf "${out:?}/$name" "$out/$name.state"
    mkdir -p "$out"
    "$tools/kotlin/bin/kotlinc" -Werror -jvm-target 17 -module-name "$name" -cp "$classpath" "$@" -d "$out/$name" "$folder"
    printf '%s' "$state" >"$out/$name.state"
}

compile() {
    module core core/src/main/kotlin "$library"
    cp "$out/core.state" "$out/core.used-by-core-test"
    module core-test core/src/test/kotlin "$out/core:$library:$junit" -Xfriend-paths="$out/core"
}

case "${1:-}" in
compile) compile ;;
test)
    compile
    java -ea -Xmx2g -Dpocketvl.golden=../tests/golden -cp "$out/core:$out/core-test:$library:$junit" \
        org.junit.platform.console.ConsoleLauncher --scan-classpath "$out/core-test" \
        --include-classname "${2:-.*}" --disable-ansi-colors --disable-banner --details=summary --fail-if-no-tests
    ;;
lint)
    shift
    java -jar "$tools/ktlint.jar" "$@" "**/src/**/*.kt"
    ;;
*)
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
