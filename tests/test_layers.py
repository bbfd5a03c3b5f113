"""The slices are one package, and imports run one way."""

import ast
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import pocketvl

ROOT = Path(__file__).parent.parent
SLICES = ("runtime", "quant", "export", "evaluate")  # ground floor first
FLOORS = {"runtime": 0, "quant": 1, "export": 2, "evaluate": 3, "cli": 4}


def imported(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def sources(floor: str) -> list[Path]:
    return [path for top in SLICES for path in (ROOT / top / "pocketvl" / floor).rglob("*.py")]


def test_one_slice_alone_has_the_packages_init() -> None:
    """A second __init__.py would hide the first or be hidden by it."""
    holders = [top for top in SLICES if (ROOT / top / "pocketvl" / "__init__.py").exists()]
    assert holders == ["runtime"]


@pytest.mark.parametrize("order", [SLICES, SLICES[::-1], ("export", "runtime", "evaluate", "quant")])
def test_slices_are_found_in_any_order_of_folders(order: tuple[str, ...]) -> None:
    program = (
        "import pocketvl, pocketvl.runtime.errors, pocketvl.quant.packed, pocketvl.export.progress,"
        " pocketvl.cli.extras; print(pocketvl.__version__)"
    )
    path = os.pathsep.join(str(ROOT / top) for top in order)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == version("pocketvl")


def test_an_attribute_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'versions'"):
        _ = pocketvl.versions


@pytest.mark.parametrize("floor", list(FLOORS))
def test_every_slice_says_that_it_is_typed(floor: str) -> None:
    (package,) = [
        ROOT / top / "pocketvl" / floor for top in SLICES if (ROOT / top / "pocketvl" / floor).is_dir()
    ]
    assert (package / "py.typed").exists()


@pytest.mark.parametrize("floor", list(FLOORS))
def test_imports_run_one_way(floor: str) -> None:
    files = sources(floor)
    assert files
    for path in files:
        for module in imported(path):
            if module.startswith("pocketvl."):
                assert FLOORS[module.split(".")[1]] <= FLOORS[floor], f"{path} imports {module}"


def test_the_runtime_needs_no_torch_but_in_its_executorch_engine() -> None:
    users = {
        path.name for path in sources("runtime") if any(m.split(".")[0] == "torch" for m in imported(path))
    }
    assert users == {"executorch_engine.py"}
