"""Compiles, tests and lints the Kotlin parts on this machine's JVM; android_demo/jvm.sh calls it."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from android import FLAVORS, AndroidBuild
from modules import ANDROID, HERE, LIBRARY, MODULES, ROOT, BuildError, Compiler, MissingError, uses_of

from native import Native, prepare

MISSING = 3  # install.sh's exit status where the machine lacks something


def main() -> int:
    arguments = parse()
    try:
        tools = install()
        if arguments.command == "lint":
            return lint(tools, arguments.files, mend=arguments.format)
        return build(tools, arguments)
    except BuildError as failure:
        print(failure, file=sys.stderr)
        return 1
    except MissingError as missing:
        print(f"{arguments.command} skipped: {missing}" if arguments.optional else missing)
        return 0 if arguments.optional else MISSING


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="android_demo/jvm.sh", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    test = commands.add_parser("test", help="compile what changed and run the tests")
    test.add_argument("pattern", nargs="?", default="", help="expression that the class's name contains")
    test.add_argument("--slow", action="store_true", help="also the tests tagged slow")
    test.add_argument("--memory", default="2g", help="heap of the tests' JVM (2g)")
    test.add_argument("-D", dest="properties", action="append", default=[], help="NAME=VALUE, for the tests")
    commands.add_parser("compile", help="compile only")
    commands.add_parser("android", help="compile all for Android and check what is referred to")
    lint = commands.add_parser("lint", help="ktlint")
    lint.add_argument("files", nargs="*", help="patterns of files under android_demo (all)")
    lint.add_argument("--format", action="store_true", help="mend what can be mended")
    for command in commands.choices.values():
        command.add_argument(
            "--optional", action="store_true", help="where tools are missing, say so and succeed"
        )
    return parser.parse_args()


def build(tools: Path, arguments: argparse.Namespace) -> int:
    compiler = Compiler(tools, Path(os.environ.get("POCKETVL_JVM_OUT", ANDROID / "build/jvm")).absolute())
    try:
        if arguments.command == "android":
            return check_android(compiler, install("--android"))
        compile_all(compiler)
    finally:
        compiler.close()
    return run_tests(compiler, arguments) if arguments.command == "test" else 0


def lint(tools: Path, files: list[str], *, mend: bool) -> int:
    command = ["java", "-jar", str(tools / "ktlint.jar"), *(["--format"] if mend else [])]
    return subprocess.run(
        [*command, *(files or ["**/src/**/*.kt", "**/*.kts"])], cwd=ANDROID, check=False
    ).returncode


def install(*options: str) -> Path:
    """The folder of tools, which is filled first where it is not there."""
    done = subprocess.run([HERE / "install.sh", *options], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == MISSING:
        raise MissingError("the machine lacks what is named above")
    if done.returncode:
        raise BuildError("the tools could not be installed")
    return Path(done.stdout.strip())


def check_android(compiler: Compiler, android_tools: Path) -> int:
    newer: set[str] = set()
    for flavor in FLAVORS:
        build = AndroidBuild(compiler, android_tools, flavor)
        build.compile()
        newer.update(build.check_references())
        print(f"{flavor}: {', '.join(build.classes)} refer to nothing that Android lacks", flush=True)
    print("Newer than API 23, and declared in android_demo/stubs:" if newer else "All of it is in API 23.")
    for name in sorted(newer):
        print(f"  {name}")
    return 0


def compile_all(compiler: Compiler) -> None:
    for name in MODULES:
        main = classpath(compiler, name)
        options = ["-jvm-target", "17"]
        lint = ["--release", "17", "-Xlint:all,-processing", "-Werror"]
        folder = ANDROID / name / "src"
        compiler.compile(name, [folder / "main"], main, options=options, java_options=lint)
        if (folder / "test").is_dir():
            shared = ["core-test"] if name != "core" and (compiler.out / "core-test").is_dir() else []
            used = [compiler.out / each for each in (*doubles(name), name, *shared)]
            compiler.compile(
                f"{name}-test", [folder / "test"], [*used, *main, *junit(compiler.tools)],
                friends=[compiler.out / name], options=options, java_options=lint,
            )  # fmt: skip


def classpath(compiler: Compiler, name: str) -> list[Path]:
    """What a module is compiled against: the modules that it uses, their jars and its own."""
    used = uses_of(name)
    jars = [jar for each in (name, *used) for jar in MODULES[each].jars]
    return [
        *(compiler.out / each for each in used),
        *(compiler.tools / jar for jar in dict.fromkeys([*jars, *LIBRARY])),
    ]


def doubles(name: str) -> list[str]:
    """The modules whose classes stand in for Android's own when a module is tested."""
    return [each for each in MODULES[name].test_uses if each in MODULES]


def junit(tools: Path) -> list[Path]:
    ours = ["kotlin/lib/kotlin-test.jar", "kotlin/lib/kotlin-test-junit5.jar"]
    return [*(tools / jar for jar in ours), *sorted((tools / "jars").glob("*.jar"))]


def run_tests(compiler: Compiler, arguments: argparse.Namespace) -> int:
    passed = failed = skipped = 0
    with tempfile.TemporaryDirectory() as temporary:
        for name in MODULES:
            classes = compiler.out / f"{name}-test"
            if not has_match(classes, arguments.pattern):
                continue
            print(f"--- {name}", flush=True)
            counts = Path(temporary) / name
            status = run_module(compiler, name, counts, arguments)
            if counts.is_file() and status == 0:
                more = [int(count) for count in counts.read_text().split()]
            else:
                print(f"  FAILED the JVM of {name}'s tests ended with status {status}")
                more = [0, 1, 0]
            passed, failed, skipped = passed + more[0], failed + more[1], skipped + more[2]
    if passed + failed + skipped == 0:
        print(f"no test's class has a name that contains {arguments.pattern!r}", file=sys.stderr)
        return 1
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


def has_match(classes: Path, pattern: str) -> bool:
    names = (".".join(file.relative_to(classes).with_suffix("").parts) for file in classes.rglob("*.class"))
    return any(re.search(pattern, name) for name in names)


def run_module(compiler: Compiler, name: str, counts: Path, arguments: argparse.Namespace) -> int:
    """Run one module's tests in a JVM of their own: a crash in native code takes no others along."""
    tools, out = compiler.tools, compiler.out
    native = prepare(tools, out.parent) if name == "engines" else Native()
    if native.missing:
        print(f"  skips tests for want of {', '.join(native.missing)}")
    shared = [out / "core-test", *(ANDROID / each / "src/test/resources" for each in ("core", name))]
    path = [
        *(out / each for each in doubles(name)), out / f"{name}-test", *shared, out / name,
        *classpath(compiler, name), *(tools / jar for each in doubles(name) for jar in MODULES[each].jars),
        *junit(tools),
    ]  # fmt: skip
    properties = {
        **native.properties,
        "pocketvl.root": ROOT,
        "pocketvl.golden": ROOT / "tests/golden",
        "pocketvl.tools": tools,
        "pocketvl.python": ROOT / ".venv/bin/python",
        "junit.jupiter.execution.timeout.testable.method.default": "10 m",
    }
    command = [
        "java", "-ea", f"-Xmx{arguments.memory}", "-XX:+UseSerialGC",
        *(f"-D{key}={value}" for key, value in properties.items()),
        *(f"-D{each}" for each in arguments.properties),
        "-cp", os.pathsep.join(map(str, dict.fromkeys(path))),
        HERE / "RunTests.java", out / f"{name}-test", arguments.pattern, "-" if arguments.slow else "slow",
        counts,
    ]  # fmt: skip
    environment = {**os.environ, **native.environment}
    return subprocess.run(command, cwd=ANDROID, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
