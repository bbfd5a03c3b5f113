"""The slices are one package, and imports run one way."""

import ast
import os
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from importlib.metadata import version
from pathlib import Path

import pytest

import pocketvl

ROOT = Path(__file__).parent.parent
SLICES = ("runtime", "quant", "export", "evaluate")  # ground floor first
FLOORS = {"runtime": 0, "quant": 1, "export": 2, "evaluate": 3, "cli": 4}


# A module that a string names: as a whole ("-m", "pocketvl.x", or for importlib), or in a program in it.
IN_STRINGS = re.compile(r"^(pocketvl\.[\w.]+)$|(?:\bfrom|\bimport|-m)\s+(pocketvl\.[\w.]+)", re.MULTILINE)


def imported(source: str) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names += [whole or part for whole, part in IN_STRINGS.findall(node.value)]
    return names


def imports_of(path: Path) -> list[str]:
    return imported(path.read_text(encoding="utf-8"))


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
        for module in imports_of(path):
            if module.startswith("pocketvl."):
                assert FLOORS[module.split(".")[1]] <= FLOORS[floor], f"{path} imports {module}"


@pytest.mark.parametrize(
    "source",
    [
        "from pocketvl.cli.main import main",
        "import pocketvl.cli.main",
        "run([python, '-m', 'pocketvl.cli'])",
        "program = 'import sys\\nfrom pocketvl.cli.main import main\\nmain()'",
        "run('python -m pocketvl.cli ask', shell=True)",
        "f'{python} -m pocketvl.cli {words}'",
        "importlib.import_module('pocketvl.cli.main')",
    ],
)
def test_an_import_is_seen_wherever_it_is(source: str) -> None:
    assert [module.split(".")[1] for module in imported(source)] == ["cli"]


def test_prose_is_no_import() -> None:
    assert imported("'What pocketvl.cli does with it.'") == []


RUNTIME = ROOT / "runtime" / "pocketvl" / "runtime"
CORE = ("bundle", "media", "text", "decoding", "chat")


def test_the_runtime_needs_no_torch_but_in_its_executorch_engine() -> None:
    users = {path for path in sources("runtime") if any(m.split(".")[0] == "torch" for m in imports_of(path))}
    assert users == {RUNTIME / "engines" / "executorch.py"}


@pytest.mark.parametrize("folder", CORE)
def test_the_portable_core_knows_no_engine_of_this_machine(folder: str) -> None:
    """What Kotlin and Swift mirror file by file; engine.py says what an engine must do."""
    files = [*(RUNTIME / folder).rglob("*.py"), RUNTIME / "engine.py", RUNTIME / "positions.py"]
    assert len(files) > 3
    for path in files:
        assert not [module for module in imports_of(path) if "runtime.engines" in module], path


def test_targets_of_the_export_know_nothing_of_one_another() -> None:
    """targets.py alone names all three; what is common to them names none."""
    export = ROOT / "export" / "pocketvl" / "export"
    targets = ("executorch", "coreml", "onnx")
    common = [path for path in export.glob("*.py") if path.name != "targets.py"]
    for own in (*targets, None):
        files = common if own is None else list((export / own).rglob("*.py"))
        assert files
        others = tuple(f"pocketvl.export.{name}" for name in targets if name != own)
        for path in files:
            assert not [module for module in imports_of(path) if module.startswith(others)], path


def test_modules_of_the_export_import_one_another_in_no_circle() -> None:
    """Whichever comes first: a circle that one order hides breaks another, such as that of a new process."""
    export = ROOT / "export" / "pocketvl"
    files = {_module(path, export): path for path in export.rglob("*.py")}
    needs = {name: _at_import(path) & files.keys() for name, path in files.items()}
    for name, needed in needs.items():  # importing a module imports the packages that it is in
        packages = {one.rpartition(".")[0] for one in (*needed, name)}
        needed |= {package for package in packages & files.keys() if not name.startswith(package)}
    TopologicalSorter(needs).prepare()  # raises CycleError, which names the circle


def _module(path: Path, root: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _at_import(path: Path) -> set[str]:
    """Of a file's own top level: not inside functions or `if TYPE_CHECKING`."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    nodes = [node for node in body if isinstance(node, ast.ImportFrom) and node.module]
    names = {f"{node.module}.{alias.name}" for node in nodes for alias in node.names}
    return names | {str(node.module) for node in nodes}
