"""What the engines' tests run on besides classes: native libraries, and bundles with Python's answers."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from modules import ANDROID, ROOT

VENV = ROOT / ".venv"


@dataclass
class Native:
    """Properties and environment of the JVM; tests skip what is named in `missing`."""

    properties: dict[str, str | Path] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def prepare(tools: Path, build: Path) -> Native:
    """Build what is not there yet under BUILD; exporting the bundles takes some minutes the first time."""
    made = Native()
    onnxruntime, executorch = build / "onnxruntime", build / "executorch"
    if _done([ANDROID / "engines/jvm/build.sh", tools, onnxruntime]):
        made.properties["onnxruntime.native.path"] = onnxruntime
        made.environment["LD_LIBRARY_PATH"] = os.pathsep.join(
            filter(None, [str(onnxruntime), os.environ.get("LD_LIBRARY_PATH", "")])
        )
    else:
        made.missing.append("onnxruntime for the JVM")
    if _done([ROOT / "native/build.sh", VENV, executorch]):
        made.properties["pocketvl.executorch"] = executorch / "libpocketvl_executorch.so"
        # Debian's JNA looks for its library among the system's alone, unless it is told to ask Java.
        made.properties["jna.nosys"] = "false"
        made.properties["java.library.path"] = tools / "jars"
    else:
        made.missing.append("ExecuTorch for the JVM")
    cases = build / "engine-cases"
    if _done([VENV / "bin/python", "-m", "tests.kotlin.engine_cases", cases]):
        made.properties["pocketvl.cases"] = cases
    else:
        made.missing.append("the bundles that Python exports")
    return made


def _done(command: list[str | Path]) -> bool:
    """Whether the command is there and succeeds; where it is missing or fails, it has said why."""
    if not Path(command[0]).exists():
        print(f"{command[0]} is not there")
        return False
    return subprocess.run(list(map(str, command)), cwd=ROOT, check=False).returncode == 0
