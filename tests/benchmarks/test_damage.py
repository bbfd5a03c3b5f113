"""The benchmark of damaged bundles, in small: nothing damaged is run, and it would be seen if it were."""

import subprocess
import sys
from pathlib import Path

from pocketvl.runtime.bundle.open import Bundle

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "damage.py"


def run(*bundles: Bundle, damages: int, commands: int, verify: str) -> subprocess.CompletedProcess[str]:
    words = ["--damages", str(damages), "--through-cli", str(commands), "--verify", verify]
    words += [word for bundle in bundles for word in ("--bundle", str(bundle.folder))]
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False, timeout=300
    )


def test_damaged_files_end_in_sentences(small_bundle: Bundle, small_onnx_bundle: Bundle) -> None:
    """Bit 0 of byte 15271 of vision_encoder.pte among them."""
    done = run(small_bundle, small_onnx_bundle, damages=30, commands=1, verify="stamp")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "30 damages" in done.stdout
    outcomes = [line for line in done.stdout.splitlines() if ": " in line]
    assert outcomes
    assert all("sentence that names the file" in line for line in outcomes)


def test_without_hashes_damage_reaches_the_runtimes(small_bundle: Bundle) -> None:
    done = run(small_bundle, damages=4, commands=0, verify="never")
    assert done.returncode == 1
    assert "answer" in done.stdout or "crash" in done.stdout
