"""The namespace package has no __init__.py, and imports run one way."""

import ast
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("top", SLICES)
def test_namespace_slices_have_no_init(top: str) -> None:
    assert (ROOT / top / "pocketvl").is_dir()
    assert not (ROOT / top / "pocketvl" / "__init__.py").exists()


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
