#!/usr/bin/env bash
# Installs Swift 6 and prints the root folder in which it runs: / where the system has it.
#
#   tools/phone/install_swift.sh            needs root, and debootstrap where Debian's own packages lack Swift
#   tools/phone/install_swift.sh --find     installs nothing
#
# Debian has swiftlang from version 13 on. Elsewhere a Debian 13 root folder is made outside the checkout
# (POCKETVL_TOOLS, else ~/.cache/pocketvl-tools), 3.1 GB, which ios_demo/swift.sh enters by chroot. What is there
# already is used without the network. Exit status 3: something is missing, which the message names.
set -euo pipefail
cache="${POCKETVL_TOOLS:-$HOME/.cache/pocketvl-tools}"
suite=trixie
packages=swiftlang,libc6-dev,libstdc++-14-dev
mirror="${POCKETVL_DEBIAN_MIRROR:-http://deb.debian.org/debian}"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
key="$(echo "$suite $packages" | sha256sum | cut -c1-12)" # of what is in it, so that an edit here fetches nothing anew
folder="$cache/swift-$key"

# missing SENTENCE
missing() {
    echo "install_swift.sh: $1" >&2
    exit 3
}

if command -v swift >/dev/null && swift --version 2>/dev/null | grep -Eq 'Swift version ([6-9]|[1-9][0-9])'; then
    echo /
    exit
fi
if [ -e "$folder/complete" ]; then
    echo "$folder/root"
    exit
fi
if [ "${1:-}" = --find ]; then missing "Swift is not installed, so its parts are left out; run tools/phone/install_swift.sh."; fi
[ "$(uname -m)" = x86_64 ] || [ "$(uname -m)" = aarch64 ] || missing "Debian has no Swift for $(uname -m)."
[ "$(id -u)" = 0 ] || missing "Swift is not installed, and installing it needs root: run this once by sudo."

if command -v apt-cache >/dev/null && apt-cache policy swiftlang 2>/dev/null | grep -Eq 'Candidate: [0-9]'; then
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ${packages//,/ } >&2
    echo /
    exit
fi

command -v debootstrap >/dev/null || missing "debootstrap is not installed: apt-get install debootstrap."
command -v unshare >/dev/null || missing "unshare is not installed: apt-get install util-linux."
[ -e "$keyring" ] || missing "$keyring is not there: apt-get install debian-archive-keyring."
[ -e "/usr/share/debootstrap/scripts/$suite" ] || missing "this debootstrap does not know $suite: install a newer one."
unshare --mount true 2>/dev/null || missing "mount namespaces are not allowed here, so no chroot can be set up."

mkdir -p "$cache"
exec 8>"$cache/swift.lock"
flock 8 # two callers at once: the second finds the first one's folder
if [ -e "$folder/complete" ]; then
    echo "$folder/root"
    exit
fi
free="$(df --output=avail -k "$cache" | tail -n 1)"
[ "$free" -gt 4500000 ] || missing "$cache has $((free / 1000)) MB free, and Swift needs 4500 while it is unpacked."

rm -rf "$cache"/swift-new-* # of a caller that was killed: nobody else is here while the lock is held
new="$(mktemp -d "$cache/swift-new-XXXXXX")"
chmod 755 "$new"
trap 'rm -rf "$new"' EXIT
# debootstrap mounts proc inside. In a mount namespace of its own that ends with it, however it ends.
unshare --mount --propagation private debootstrap --variant=minbase --keyring="$keyring" \
    --include="$packages" "$suite" "$new/root" "$mirror" >"$new/log" 2>&1 8>&- || {
    tail -n 20 "$new/log" >&2
    missing "debootstrap could not make a Debian 13 root from $mirror; its last lines are above."
}
rm -rf "$new"/root/var/cache/apt/archives/*.deb
touch "$new/complete"
mv "$new" "$folder"
trap - EXIT
echo "$folder/root"
