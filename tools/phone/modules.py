"""The Kotlin modules of android_demo: what each is made of, and how it is compiled."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
ANDROID = ROOT / "android_demo"
HERE = Path(__file__).resolve().parent

# A cold compiler spends its time on being compiled itself: the quick compiler alone takes half as long.
JAVA_OPTIONS = ["-Xmx2g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:ReservedCodeCacheSize=256m"]


class BuildError(Exception):
    """Something does not compile or a check failed; what it says is for the reader."""


class MissingError(Exception):
    """The machine lacks a tool; what it says is for the reader."""


@dataclass(frozen=True)
class Module:
    """Sources under android_demo/NAME/src/main and src/test, in Kotlin or Java."""

    name: str
    uses: tuple[str, ...] = ()  # modules
    jars: tuple[str, ...] = ()  # under the tools' folder
    test_uses: tuple[str, ...] = ()  # modules that stand before all else when its tests run
    android: bool = True  # part of the app


LIBRARY = ("kotlin/lib/kotlin-stdlib.jar", "kotlin/lib/kotlinx-coroutines-core-jvm.jar")
ENGINE_JARS = ("onnxruntime/classes.jar", "executorch/classes.jar")

MODULES = {
    module.name: module
    for module in (
        Module("core"),
        # ExecuTorch's Java classes over native/, in whose place they stand where there is no Android.
        Module("executorch-jvm", jars=("jars/jna.jar",), android=False),
        Module("engines", uses=("core",), jars=ENGINE_JARS, test_uses=("executorch-jvm",)),
        Module("presentation", uses=("core", "engines"), jars=ENGINE_JARS, test_uses=("executorch-jvm",)),
        Module("download", uses=("core", "presentation")),
    )
    if (ANDROID / module.name / "src").is_dir()
}


def uses_of(name: str) -> list[str]:
    """The modules that one uses, directly or through others, nearest last."""
    found: list[str] = []
    for used in MODULES[name].uses:
        if used in MODULES:
            found += [each for each in (*uses_of(used), used) if each not in found]
    return found


def hash_of(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def sources(folders: list[Path], suffix: str) -> list[Path]:
    return [file for folder in folders for file in sorted(folder.rglob(f"*{suffix}"))]


@dataclass
class Compiler:
    """kotlinc and javac into OUT, of what changed since; one kotlinc serves all modules.

    OUT is this process's alone until it ends: another one waits.
    """

    tools: Path
    out: Path
    server: subprocess.Popen[str] | None = field(default=None, repr=False)
    lock: IO[str] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        self.lock = (self.out / "lock").open("w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another build in {self.out}", flush=True)
            fcntl.flock(self.lock, fcntl.LOCK_EX)

    def compile(
        self,
        name: str,
        folders: list[Path],
        classpath: list[Path],
        *,
        friends: list[Path] = [],  # noqa: B006
        options: list[str] = [],  # noqa: B006
        java_options: list[str] = [],  # noqa: B006
    ) -> Path:
        """Compile the folders' .kt and .java files; return the folder of classes.

        What a module is compiled anew for: its sources, its options, and the declarations (not the bodies) of
        what it uses.
        """
        kotlin, java = sources(folders, ".kt"), sources(folders, ".java")
        classes, declarations = self.out / name, self.out / f"{name}.declarations"
        state_file = self.out / f"{name}.state"
        state = "\n".join([
            hash_of(*kotlin, *java),
            str([str(path) for path in classpath]),
            str([options, java_options]),
            *(self.declared(path) for path in classpath if path.is_dir()),
        ])  # fmt: skip
        if state_file.is_file() and state_file.read_text() == state:
            return classes
        state_file.unlink(missing_ok=True)
        shutil.rmtree(classes, ignore_errors=True)
        shutil.rmtree(declarations, ignore_errors=True)
        classes.mkdir(parents=True)
        declarations.mkdir()
        joined = os.pathsep.join(map(str, classpath))
        if kotlin:
            plugin = self.tools / "kotlin/lib/jvm-abi-gen.jar"
            declare = f"plugin:org.jetbrains.kotlin.jvm.abi:outputDir={declarations}"
            self._kotlinc(name, [
                "-Werror", "-no-stdlib", "-no-reflect", "-module-name", name, "-cp", joined,
                "-d", str(classes),
                f"-Xplugin={plugin}", "-P", declare,
                *([f"-Xfriend-paths={','.join(map(str, friends))}"] if friends else []),
                *options, *map(str, kotlin), *map(str, java),
            ])  # fmt: skip
        if java:
            joined = os.pathsep.join([str(classes), joined])
            command = ["javac", "-nowarn", "-proc:none", *java_options, "-cp", joined, "-d", str(classes)]
            if subprocess.run([*command, *map(str, java)], check=False).returncode:
                raise BuildError(f"{name} does not compile")
            for file in java:
                shutil.copy(file, declarations / file.name)
        state_file.write_text(state)
        return classes

    def declared(self, classes: Path) -> str:
        folder = classes.with_name(f"{classes.name}.declarations")
        return hash_of(*(file for file in folder.rglob("*") if file.is_file()))

    def _kotlinc(self, name: str, arguments: list[str]) -> None:
        listed = self.out / f"{name}.options"
        listed.write_text("".join(f'"{argument}"\n' for argument in arguments))
        if self.server is None:
            jar = self.tools / "kotlin/lib/kotlin-compiler.jar"
            self.server = subprocess.Popen(
                ["java", *JAVA_OPTIONS, "-cp", str(jar), str(HERE / "Kotlinc.java")],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
        requests, answers = _pipes(self.server)
        requests.write(f"{listed}\n")
        requests.flush()
        if answers.readline().strip() != "0":
            raise BuildError(f"{name} does not compile")

    def close(self) -> None:
        if self.server is not None:
            _pipes(self.server)[0].close()
            self.server.wait()
            self.server = None


def _pipes(server: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert server.stdin is not None
    assert server.stdout is not None
    return server.stdin, server.stdout
