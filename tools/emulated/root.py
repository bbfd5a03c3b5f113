"""A Debian for arm64 in a folder, with the wheels that run a bundle, for qemu's user mode.

Nothing of it is executed while it is made: packages are unpacked, not configured, and wheels are chosen for
the other platform by uv. So neither binfmt_misc nor an emulated pip is needed.
"""

import subprocess
from importlib.metadata import version
from pathlib import Path

RELEASE = "bookworm"  # whose python3 is 3.11
PLATFORM, PYTHON = "aarch64-manylinux_2_28", "3.11"
PACKAGES = ("executorch", "torch", "onnxruntime", "numpy", "pillow", "tokenizers", "jinja2", "psutil")
WITHOUT = ("coremltools",)  # which executorch asks for: it has no wheel for Linux on Arm and is not imported


def make_root(root: Path, site: Path, mirror: str, uv: str) -> None:
    """Both folders are made anew unless they are there. Raises CalledProcessError."""
    if not (root / "usr/bin/python3").exists():
        words = [
            "debootstrap",
            "--foreign",
            "--arch=arm64",
            "--variant=minbase",
            "--include=python3,libgomp1",
        ]
        subprocess.run([*words, RELEASE, str(root), mirror], check=True)
        for package in sorted((root / "var/cache/apt/archives").glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(package), str(root)], check=True)
    if not site.exists():
        _install(site, uv)


def _install(site: Path, uv: str) -> None:
    """The versions of this environment, so that what differs is the processor."""
    pins = site.with_suffix(".pins")
    pins.write_text("".join(f"{name}=={version(name).partition('+')[0]}\n" for name in PACKAGES))
    without = site.with_suffix(".without")
    without.write_text("".join(f"{name}; python_version < '3'\n" for name in WITHOUT))
    words = [uv, "pip", "install", "--target", str(site), "--only-binary", ":all:", "--compile-bytecode"]
    words += ["--python-platform", PLATFORM, "--python-version", PYTHON]
    subprocess.run([*words, "--constraints", str(pins), "--overrides", str(without), *PACKAGES], check=True)
