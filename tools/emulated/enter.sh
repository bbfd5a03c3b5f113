#!/bin/sh
# enter.sh ROOT SITE REPOSITORY WORK CPUINFO CPU ARGUMENT..: ROOT's python3 under ROOT's qemu; WORK is /work
#
# For `unshare --mount`, so that every mount is gone with the process. /proc/cpuinfo would be the host's: XNNPACK and onnxruntime choose kernels by it and fail on another
# architecture's (qemu before 8.1 makes none up).
set -eu
root=$1 site=$2 repository=$3 work=$4 cpuinfo=$5 cpu=$6
shift 6
for place in proc sys dev tmp site repository work; do mkdir -p "$root/$place"; done
mount --rbind /proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs none "$root/tmp"
mount --bind "$cpuinfo" "$root/proc/cpuinfo"
mount --bind "$site" "$root/site"
mount --bind -o ro "$repository" "$root/repository"
mount --bind "$work" "$root/work"
path=/repository:/site
for slice in runtime quant export evaluate; do path=/repository/$slice:$path; done
exec chroot "$root" /usr/bin/qemu -cpu "$cpu" \
    -E PYTHONPATH="$path" -E PYTHONDONTWRITEBYTECODE=1 -E OMP_NUM_THREADS=1 /usr/bin/python3 "$@"
