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
from pocketvl.cli.app import app

ROOT = Path(__file__).parent.parent
SLICES = ("runtime", "quant", "export", "evaluate", "cli")  # ground floor first
FLOORS = {slice_: floor for floor, slice_ in enumerate(SLICES)}


# A module that a string names: as a whole ("-m", "pocketvl.x", or for importlib), or in a program in it.
IN_STRINGS = re.compile(r"^(pocketvl\.[\w.]+)$|(?:\bfrom|\bimport|-m)\s+(pocketvl\.[\w.]+)", re.MULTILINE)


def imported(source: str) -> list[str]:
    """Names of modules; of `from a import b` both a and a.b, which may be a module, too."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute, so that this test can read them"
            names += [f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names += [whole or part for whole, part in IN_STRINGS.findall(node.value)]
    return names


def imports_of(path: Path) -> list[str]:
    return imported(path.read_text(encoding="utf-8"))


def sources(floor: str) -> list[Path]:
    return list((ROOT / floor / "pocketvl" / floor).rglob("*.py"))


def test_one_slice_alone_has_the_packages_init() -> None:
    """A second __init__.py would hide the first or be hidden by it."""
    holders = [top for top in SLICES if (ROOT / top / "pocketvl" / "__init__.py").exists()]
    assert holders == ["runtime"]


@pytest.mark.parametrize("order", [SLICES, SLICES[::-1], ("export", "cli", "runtime", "evaluate", "quant")])
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


@pytest.mark.parametrize("floor", SLICES)
def test_every_slice_is_a_typed_package_of_its_folders_name(floor: str) -> None:
    folders = [path.name for path in (ROOT / floor / "pocketvl").iterdir() if path.name != "__pycache__"]
    assert [name for name in folders if not name.endswith(".py")] == [floor]
    assert (ROOT / floor / "pocketvl" / floor / "py.typed").exists()


@pytest.mark.parametrize("floor", SLICES)
def test_imports_run_one_way(floor: str) -> None:
    files = sources(floor)
    assert files
    for path in files:
        for module in imports_of(path):
            package, _, rest = module.partition(".")
            if package == "pocketvl":  # names of the package itself, such as its version, are on the ground
                assert FLOORS.get(rest.partition(".")[0], 0) <= FLOORS[floor], f"{path} imports {module}"


@pytest.mark.parametrize(
    "source",
    [
        "from pocketvl.cli.main import main",
        "import pocketvl.cli.main",
        "from pocketvl import cli",
        "run([python, '-m', 'pocketvl.cli'])",
        "program = 'import sys\\nfrom pocketvl.cli.main import main\\nmain()'",
        "run('python -m pocketvl.cli ask', shell=True)",
        "f'{python} -m pocketvl.cli {words}'",
        "importlib.import_module('pocketvl.cli.main')",
    ],
)
def test_an_import_is_seen_wherever_it_is(source: str) -> None:
    assert {module.split(".")[1] for module in imported(source) if module != "pocketvl"} == {"cli"}


def test_prose_is_no_import() -> None:
    assert imported("'What pocketvl.cli does with it.'") == []


def test_a_command_is_imported_by_the_app_alone() -> None:
    """What two commands share is a module of its own. optimum's plugin repeats the options of export."""
    commands = {command.callback.__module__ for command in app.registered_commands if command.callback}
    assert len(commands) == len(app.registered_commands)
    users = {
        (path.stem, module)
        for path in sources("cli")
        for module in set(imports_of(path)) & commands
        if path.stem != "app"
    }
    assert users == {("optimum_options", "pocketvl.cli.export")}


RUNTIME = ROOT / "runtime" / "pocketvl" / "runtime"
CORE = ("bundle", "media", "text", "decoding", "chat")


def test_the_runtime_needs_no_torch_but_for_executorch() -> None:
    users = {path for path in sources("runtime") if any(m.split(".")[0] == "torch" for m in imports_of(path))}
    assert users == {RUNTIME / "engines" / name for name in ("executorch.py", "blas.py")}


@pytest.mark.parametrize("folder", CORE)
def test_the_portable_core_knows_no_engine_of_this_machine(folder: str) -> None:
    """What Kotlin and Swift mirror file by file; engine.py says what an engine must do."""
    files = [*(RUNTIME / folder).rglob("*.py"), RUNTIME / "engine.py", RUNTIME / "positions.py"]
    assert len(files) > 3
    for path in files:
        assert not [module for module in imports_of(path) if "runtime.engines" in module], path


def test_the_server_is_imported_by_its_command_alone() -> None:
    """It needs packages that the base install does not have."""
    files = [path for floor in SLICES for path in sources(floor) if RUNTIME / "serve" not in path.parents]
    users = {path.stem for path in files if any("runtime.serve" in name for name in imports_of(path))}
    assert users == {"serve"}


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


def imported_at_once(tree: ast.Module) -> list[str]:
    """Modules that are imported when this one is: not those for types alone, nor those inside functions."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found


def test_no_module_is_imported_before_it_is_whole() -> None:
    """Whichever module is imported first. A package's __init__ comes before what is in it."""
    trees = {}
    for top in SLICES:
        for path in (ROOT / top / "pocketvl").rglob("*.py"):
            parts = path.relative_to(ROOT / top).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            trees[name] = ast.parse(path.read_text(encoding="utf-8"))
    graph = {}
    for name, tree in trees.items():
        needed = set()
        for module in imported_at_once(tree):
            parents = module.split(".")
            needed |= {".".join(parents[:count]) for count in range(1, len(parents) + 1)} & trees.keys()
        # A module waits for its own packages only where they import nothing of it.
        own = {".".join(name.split(".")[:count]) for count in range(1, len(name.split(".")) + 1)}
        graph[name] = needed - own
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the modules
