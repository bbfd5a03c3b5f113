"""Bundles' answers on processors that this machine does not have, beside its own: kernels, not speed.

    apt-get install qemu-user-static debootstrap
    pip install uv
    python -m tools.emulated WORK BUNDLE [BUNDLE ..] --cpu cortex-a53 --cpu cortex-a76 --cpu Haswell

Bundles are ExecuTorch's and ONNX ones of the tiny model, one for each target and recipe, at best several at
once: importing ExecuTorch takes longest. Arm processors run in a Debian root that the first call puts into
WORK (7 GB, root needed: torch's wheels for Arm want CUDA's libraries), x86's with this environment. Prints a
table; its numbers stay in WORK. Exit status 1 if drawn images or prompts differ, or a float32 bundle's
answers or logits do by more than rounding.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.emulated.answers import read
from tools.emulated.arm import PARTS, cpuinfo
from tools.emulated.compare import TIE, Comparison, compare
from tools.emulated.root import make_root

REPOSITORY = Path(__file__).resolve().parents[2]
ENTER = Path(__file__).with_name("enter.sh")
NATIVE = "native"
HEADINGS = ("processor", "bundle", "equal answers", "largest logit difference", "logits", "image embeddings")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("bundle", type=Path, nargs="+")
    parser.add_argument("--cpu", action="append", required=True, help="a name of qemu's, with ,feature=off")
    parser.add_argument("--questions", type=int, default=28)
    parser.add_argument("--mirror", default="http://deb.debian.org/debian")
    parser.add_argument("--uv", default="uv")
    options = parser.parse_args()
    work: Path = options.work.resolve()
    root, site = work / "root", work / "site"
    if any(is_arm(cpu) for cpu in options.cpu):
        work.mkdir(parents=True, exist_ok=True)
        make_root(root, site, options.mirror, options.uv)
    for number, bundle in enumerate(options.bundle):
        shutil.copytree(bundle, work / f"bundles/{number}", dirs_exist_ok=True)

    def arguments(folder: Path, out: str) -> list[str]:
        bundles = [str(folder / f"bundles/{number}") for number in range(len(options.bundle))]
        asked = [str(folder / out), *bundles, "--questions", str(options.questions)]
        return ["-m", "tools.emulated.answers", *asked]

    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *arguments(work, NATIVE)], check=True, env=environment)
    print(f"| {' | '.join(HEADINGS)} |\n{'|---' * len(HEADINGS)}|")
    good = True
    for cpu in options.cpu:
        if is_arm(cpu):
            inside = Path("/work")
            command = arm_command(work, cpu, [*arguments(inside, cpu), "--reference", str(inside / NATIVE)])
        else:
            emulator = [need("qemu-x86_64-static"), "-cpu", cpu, sys.executable]
            command = [*emulator, *arguments(work, cpu), "--reference", str(work / NATIVE)]
        subprocess.run(command, check=True, env=environment)
        for made in sorted((work / cpu).glob("*.npz")):
            found = compare(read(made), read(work / NATIVE / made.name))
            good &= acceptable(found, made.stem)
            print(row(cpu, made.stem, found), flush=True)
    sys.exit(not good)


def is_arm(cpu: str) -> bool:
    return cpu.partition(",")[0] in PARTS


def need(command: str) -> str:
    found = shutil.which(command)
    if found is None:
        raise SystemExit(f"{command} is missing: apt-get install qemu-user-static")
    return found


def arm_command(work: Path, cpu: str, arguments: list[str]) -> list[str]:
    """python3 in WORK's root, which sees WORK as /work and the CPU's own /proc/cpuinfo."""
    emulator = need("qemu-aarch64-static")
    script = "/arm.py"
    shutil.copy(Path(__file__).with_name("arm.py"), work / "root" / script[1:])
    shutil.copy(emulator, work / "root/usr/bin/qemu")
    probe = ["chroot", str(work / "root"), "/usr/bin/qemu", "-cpu", cpu, "/usr/bin/python3", script]
    features = subprocess.run(probe, check=True, capture_output=True, text=True).stdout.split()
    print(f"{cpu}: {' '.join(features)}", file=sys.stderr, flush=True)
    text = work / "cpuinfo"
    text.write_text(cpuinfo(cpu, features, os.cpu_count() or 1))
    folders = [work / "root", work / "site", REPOSITORY, work, text]
    return ["unshare", "--mount", "sh", str(ENTER), *map(str, folders), cpu, *arguments]


def acceptable(found: Comparison, name: str) -> bool:
    """Quantized bundles round activations, so their answers may part for good reasons: read their rows."""
    if found.inputs < found.questions:
        return False
    return not name.endswith("-fp32") or (
        found.difference < TIE and found.equal + found.ties == found.questions
    )


def row(cpu: str, name: str, found: Comparison) -> str:
    equal = f"{found.equal} of {found.questions}"
    if found.margins:
        equal += f" (margins {', '.join(f'{margin:.2g}' for margin in sorted(found.margins))})"
    cells = [cpu, name, equal, f"{found.difference:.2g}", f"{found.relative:.1e}", f"{found.embeddings:.1e}"]
    cells[2] += f", score {found.score[0]:.3f} -> {found.score[1]:.3f}"
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
