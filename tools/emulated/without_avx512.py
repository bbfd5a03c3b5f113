"""A copy of an environment whose libraries see no AVX-512, AVX-VNNI, GFNI and AMX, at full native speed.

    cp -a .venv COPY
    python -m tools.emulated.without_avx512 COPY
    COPY/bin/without-avx512 COPY/bin/python ..    # and whatever it starts

x86-64 Linux, gcc and binutils. Libraries choose their kernels by cpuid. Every cpuid instruction of COPY's
shared libraries is overwritten by one that traps, and bin/without-avx512 preloads cpuid.c, which answers the
trap without those features and shows a /proc/cpuinfo without them. cpuid runs while libraries are loaded, so
nothing is slower later on. Nothing in COPY works without that command afterwards, nor after COPY was moved,
until this ran again. Minutes: torch's 400 MB are disassembled.
"""

import argparse
import mmap
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CPUID, TRAP = b"\x0f\xa2", b"\x0f\x04"  # TRAP as in cpuid.c
SOURCE = Path(__file__).with_name("cpuid.c")
LOADED = 1  # PT_LOAD, a segment's kind in an ELF file
ELF = b"\x7fELF\x02\x01"  # 64 bits, little-endian
HIDDEN = re.compile(r" (avx512\w+|avx_vnni\w*|avx_ifma|avx_ne_convert|avx10\w*|amx_\w+|gfni)\b")
# What the C library's own memcpy and string functions must not use
HWCAPS = ("AVX512F", "AVX512VL", "AVX512BW", "AVX512CD", "AVX512DQ", "AVX512ER", "AVX512PF")
COMMAND = """#!/bin/sh
export LD_PRELOAD='{library}' GLIBC_TUNABLES=glibc.cpu.hwcaps={hwcaps}
exec "$@"
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("copy", type=Path)
    copy: Path = parser.parse_args().copy.resolve()
    if not (copy / "pyvenv.cfg").exists():
        raise SystemExit(f"{copy} is no environment: it has no pyvenv.cfg. Give a copy of .venv.")
    if copy == Path(sys.prefix).resolve():
        raise SystemExit(f"{copy} is the environment that runs this. Copy it and give the copy.")
    for path in sorted(copy.rglob("*.so*")):
        if path.is_file() and not path.is_symlink() and (found := patch(path)):
            print(f"{found:4} {path.relative_to(copy)}", flush=True)
    write_command(copy)


def write_command(copy: Path) -> None:
    library, command, said = copy / "lib/cpuid.so", copy / "bin/without-avx512", copy / "lib/cpuinfo"
    said.write_text(HIDDEN.sub("", Path("/proc/cpuinfo").read_text(encoding="utf-8")), encoding="utf-8")
    words = ["gcc", "-O2", "-Wall", "-shared", "-fPIC", f'-DCPUINFO="{said}"', "-o", str(library)]
    subprocess.run([*words, str(SOURCE), "-ldl"], check=True)
    hwcaps = ",".join(f"-{name}" for name in HWCAPS)
    command.write_text(COMMAND.format(library=library, hwcaps=hwcaps), encoding="utf-8")
    command.chmod(0o755)


def patch(path: Path) -> int:
    """How many cpuid instructions of this file became traps; none in what is no ELF file of 64 bits."""
    with path.open("r+b") as file:
        if file.read(len(ELF)) != ELF:
            return 0
        if path.stat().st_nlink > 1:
            raise SystemExit(f"{path} is shared with another environment by a hard link. Copy with cp -a.")
        with mmap.mmap(file.fileno(), 0) as image:
            if image.find(CPUID) < 0:
                return 0
            places = [offset(image, address) for address in instructions(path)]
            for place in places:
                if image[place : place + len(CPUID)] != CPUID:
                    raise SystemExit(f"{path} has no cpuid at {place:#x}, where objdump shows one.")
                image[place : place + len(TRAP)] = TRAP
            return len(places)


def instructions(path: Path) -> Iterator[int]:
    """Addresses of cpuid. The two bytes also occur within other instructions, so these are told apart."""
    words = ["objdump", "--disassemble", "--no-show-raw-insn", str(path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "cpuid" in line and (found := re.fullmatch(r"\s*([0-9a-f]+):\s+cpuid\s*", line)):
                yield int(found[1], 16)
    if running.returncode:
        raise SystemExit(f"objdump could not read {path}; what it said is above.")


def offset(image: mmap.mmap, address: int) -> int:
    """Where in the file an address of its program lies."""
    (table,) = struct.unpack_from("<Q", image, 32)
    size, count = struct.unpack_from("<HH", image, 54)
    for at in range(table, table + count * size, size):
        kind, _, start, virtual, _, length = struct.unpack_from("<IIQQQQ", image, at)
        if kind == LOADED and virtual <= address < virtual + length:
            return int(start + address - virtual)
    raise SystemExit(f"{address:#x} lies in no segment of its file.")


if __name__ == "__main__":
    main()
