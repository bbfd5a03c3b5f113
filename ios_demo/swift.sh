#!/usr/bin/env bash
# Runs Swift on this package, on Linux: the system's own, or the one that tools/phone/install_swift.sh installs.
#
#   ios_demo/swift.sh build [OPTION...]        compile; warnings are errors
#   ios_demo/swift.sh test [FILTER]            run the tests, or those whose names match
#   ios_demo/swift.sh lint [--format]          swift format: say what it would change, or change it
#   ios_demo/swift.sh shell [COMMAND...]       anything else, in this folder
#   ios_demo/swift.sh bench BUNDLE ...         see bench.sh
#
# With --optional after test or lint nothing is installed: where Swift is missing, that is said, and all is well.
# What is built lies in build/swift (POCKETVL_SWIFT_OUT: elsewhere in the repository). POCKETVL_SWIFT_CONFIG=release
# compiles with optimization, POCKETVL_SWIFT_SANITIZE=thread (address, undefined) with a sanitizer; give each an OUT of its own.
set -euo pipefail
cd "$(dirname "$0")"
package="$PWD"
repository="$(cd .. && pwd)"
tools="${POCKETVL_TOOLS:-$HOME/.cache/pocketvl-tools}"
out="${POCKETVL_SWIFT_OUT:-$package/build/swift}"
config="${POCKETVL_SWIFT_CONFIG:-debug}"
engine_mounts=() # see engines.sh

# run COMMAND...: in the root folder that has Swift, where the repository and the tools keep their paths.
run() {
    if [ "$root" = / ]; then
        (cd "$package" && "$@")
        return
    fi
    # The mounts are in a namespace of this process and its children alone, so that they end with it.
    unshare --mount --propagation private bash -euc '
        root="$1" package="$2" repository="$3"
        shift 3
        mount -t proc proc "$root/proc"
        mkdir -p "$root$repository"
        mount --bind "$repository" "$root$repository"
        while [ "$1" != -- ]; do
            mkdir -p "$root$1"
            mount --bind "$1" "$root$1"
            mount -o remount,bind,ro "$root$1"
            shift
        done
        shift
        exec chroot "$root" /usr/bin/env -C "$package" "$@"
    ' run "$root" "$package" "$repository" "$tools" "${engine_mounts[@]}" -- "$@"
}

# swift_with COMMAND OPTION...: -enable-testing lets tests of an optimized build see what is internal. The linker has to
# let libswiftObservation.so lack a symbol, which is a fault of Debian's package.
swift_with() {
    local command="$1"
    shift
    mkdir -p "$out/home" "$tools"
    run env HOME="$out/home" "${engine_environment[@]}" swift "$command" --scratch-path "$out" --configuration "$config" --disable-sandbox \
        -Xswiftc -warnings-as-errors -Xswiftc -enable-testing ${POCKETVL_SWIFT_SANITIZE:+--sanitize "$POCKETVL_SWIFT_SANITIZE"} \
        "${engine_options[@]}" "$@"
}

case "${1:-}" in
build | test | lint | shell | bench) ;;
*)
    sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
command="$1"
shift
if [ "${1:-}" = --optional ]; then
    shift
    root="$("$repository/tools/phone/install_swift.sh" --find)" || exit 0
else
    root="$("$repository/tools/phone/install_swift.sh")"
fi
case "$command" in build | test | bench) source "$package/engines.sh" ;; esac
case "$command" in
bench)
    # Not while something is measured: SwiftPM takes seconds to find that nothing changed.
    if [ -n "$(find Package.swift Sources Bench Tests/Support -newer "$out/$config/Bench" -print -quit 2>&1)" ]; then
        swift_with build --product Bench >&2
    fi
    for path in "$1" "${3:-}"; do
        if [ -n "$path" ]; then engine_mounts+=("$(if [ -d "$path" ]; then echo "$path"; else dirname "$path"; fi)"); fi
    done
    run env "${engine_environment[@]}" "$out/$config/Bench" "$@"
    ;;
build) swift_with build "$@" ;;
test)
    find_cases
    status=0
    swift_with test --disable-xctest ${1:+--filter "$1"} 2>&1 | tee "$out/test.log" | grep -v '^◇' || status=$?
    passed="$(grep -c '^✔ Test [^r]' "$out/test.log" || true)"
    failed="$(grep -c '^✘ Test [^r].* failed after' "$out/test.log" || true)"
    echo "$passed passed, $failed failed"
    if [ "$status" = 0 ] && [ "$passed" = 0 ]; then
        echo "swift.sh: no test ran" >&2
        exit 1
    fi
    exit "$status"
    ;;
lint)
    action=(lint --strict)
    if [ "${1:-}" = --format ]; then action=(format --in-place); fi
    run swift format "${action[@]}" --recursive Package.swift Sources Tests App/Sources
    ;;
shell)
    mkdir -p "$out/home"
    run env HOME="$out/home" "${@:-bash}"
    ;;
esac
