"""Where and with what a sweep ran: without it no figure of speed can be compared."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pocketvl.runtime import names

_RUNTIMES = {names.EXECUTORCH: "executorch", names.ONNX: "onnxruntime", names.COREML: "coremltools"}


def processor() -> str:
    """The CPU's name as the system gives it, else its architecture."""
    return _linux() or _macos() or platform.processor() or platform.machine()


def versions(target: str) -> tuple[tuple[str, str], ...]:
    """(package, version) of pocketvl, Python and the libraries that exported and ran the bundles."""
    found = [("pocketvl", version("pocketvl")), ("Python", platform.python_version())]
    for package in ("torch", _RUNTIMES[target]):
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            continue
    return tuple(found)


def _linux() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    named = (line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model")))
    return next((name for name in named if name), None)


def _macos() -> str | None:
    if platform.system() != "Darwin":
        return None
    done = subprocess.run(
        ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None
