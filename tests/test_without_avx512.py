"""A library whose cpuid is answered as on a processor without AVX-512, as tools/emulated does it."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.emulated import without_avx512

# The constant's bytes are cpuid's, within another instruction.
SOURCE = """
#include <cpuid.h>
unsigned constant(void) { return 0xa20f1234; }
unsigned part(unsigned leaf, unsigned subleaf, int place) {
    unsigned found[4];
    __cpuid_count(leaf, subleaf, found[0], found[1], found[2], found[3]);
    return found[place];
}
"""
CALL = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
found = [library.part(leaf, 0, place) for leaf in (1, 7) for place in (1, 2)]
print(*(number & 0xffffffff for number in (*found, library.constant())))
"""
NEEDED = ("gcc", "objdump")

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64"
    or not sys.platform.startswith("linux")
    or None in [shutil.which(tool) for tool in NEEDED],
    reason="needs x86-64 Linux, gcc and binutils",
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What looks like an environment, with one library."""
    folder = tmp_path / "copy"
    (folder / "bin").mkdir(parents=True)
    (folder / "lib").mkdir()
    (folder / "pyvenv.cfg").write_text("", encoding="utf-8")
    (folder / "lib/text.so").write_text("no ELF file, with cpuid's bytes: \x0f\xa2", encoding="latin-1")
    source = tmp_path / "part.c"
    source.write_text(SOURCE, encoding="utf-8")
    words = ["gcc", "-O1", "-shared", "-fPIC", "-o", str(folder / "lib/part.so"), str(source)]
    subprocess.run(words, check=True)
    return folder


def numbers(library: Path, *before: str) -> list[int]:
    words = [*before, sys.executable, "-c", CALL, str(library)]
    done = subprocess.run(words, check=True, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    return [int(word) for word in done.stdout.split()]


def test_the_bits_of_avx512_are_hidden_and_all_else_stays(copy: Path) -> None:
    library = copy / "lib/part.so"
    _, features, ebx, ecx, constant = numbers(library)  # the first names the core
    before = library.read_bytes()
    assert without_avx512.patch(library) == 1
    assert sum(a != b for a, b in zip(before, library.read_bytes(), strict=True)) == 1
    without_avx512.write_command(copy)
    _, *found = numbers(library, str(copy / "bin/without-avx512"))
    hidden_ebx = sum(1 << bit for bit in (16, 17, 21, 26, 27, 28, 30, 31))
    hidden_ecx = sum(1 << bit for bit in (1, 6, 8, 11, 12, 14))
    assert found == [features, ebx & ~hidden_ebx, ecx & ~hidden_ecx, constant]
    assert constant == 0xA20F1234
    flags = (copy / "lib/cpuinfo").read_text(encoding="utf-8")
    assert "avx2" in flags or "avx2" not in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    assert "avx512" not in flags


def test_other_files_are_left_alone(copy: Path) -> None:
    text = copy / "lib/text.so"
    before = text.read_bytes()
    assert without_avx512.patch(text) == 0
    assert text.read_bytes() == before


def test_a_library_that_another_environment_shares_is_refused(copy: Path, tmp_path: Path) -> None:
    os.link(copy / "lib/part.so", tmp_path / "shared.so")
    with pytest.raises(SystemExit, match="hard link"):
        without_avx512.patch(copy / "lib/part.so")


@pytest.mark.parametrize(("folder", "reason"), [("empty", "no environment"), (sys.prefix, "that runs this")])
def test_what_is_no_copy_is_refused(
    folder: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(sys, "argv", ["without_avx512", str(tmp_path / folder)])
    with pytest.raises(SystemExit, match=reason):
        without_avx512.main()
