"""Compiles the app and what it uses against Android's own classes, and checks every reference to them."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
import xml.etree.ElementTree as ET
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from modules import ANDROID, HERE, LIBRARY, MODULES, BuildError, Compiler, MissingError, hash_of, uses_of

NAMESPACE = "http://schemas.android.com/apk/res/android"
APPLICATION = "dev.pocketvl.app"
TOOLS_NAMESPACE = "http://schemas.android.com/tools"
FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")
# The flavours and the modules that each has beside those that all have.
FLAVORS: dict[str, tuple[str, ...]] = {"offline": (), "download": ("download",)}
# Java 8's bytecode is the newest that D8 turns into bytecode for API 26 without help of a newer android.jar.
TARGET = ["-no-jdk", "-jvm-target", "1.8"]


def run(*command: str | Path) -> str:
    """Run a command quietly; where it fails, show what it said."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise BuildError(f"{Path(command[0]).name} failed:\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout


def versions() -> dict[str, str]:
    """The versions of the app and of what is inside, from the file that Gradle reads as well."""
    with (ANDROID / "gradle/libs.versions.toml").open("rb") as file:
        return dict(tomllib.load(file)["versions"])


def need_android_tools(*names: str) -> None:
    packages = {"aapt2": "aapt", "keytool": "default-jdk-headless"}
    for name in names:
        if shutil.which(name) is None:
            raise MissingError(f"{name} is not installed (on Debian: {packages.get(name, name)})")
    if "aapt2" in names and not FRAMEWORK.is_file():
        raise MissingError(f"{FRAMEWORK} is not there (on Debian: android-framework-res)")


@dataclass
class AndroidBuild:
    """One flavour of the app under OUT. ANDROID_TOOLS holds android.jar and r8.jar."""

    compiler: Compiler
    android_tools: Path
    flavor: str
    classes: dict[str, Path] = field(default_factory=dict)

    @property
    def android_jar(self) -> Path:
        return self.android_tools / "android.jar"

    @property
    def out(self) -> Path:
        return self.compiler.out / self.flavor

    def r8(self, program: str, *arguments: str | Path) -> list[str | Path]:
        jar = self.android_tools / "r8.jar"
        return [
            "java",
            "-Xmx2g",
            "-XX:+UseSerialGC",
            "-cp",
            jar,
            f"com.android.tools.r8.{program}",
            *arguments,
        ]

    def modules(self) -> list[str]:
        others = {name for names in FLAVORS.values() for name in names} - set(FLAVORS[self.flavor])
        return [name for name, module in MODULES.items() if module.android and name not in others]

    def compile(self) -> None:
        """All modules and the app, each against API 23 and the declarations in stubs/."""
        self.out.mkdir(parents=True, exist_ok=True)
        android = self._android_with_stubs()
        for name in self.modules():
            used = [self.compiler.out / f"android-{each}" for each in uses_of(name)]
            self.classes[name] = self.compiler.compile(
                f"android-{name}", [ANDROID / name / "src/main"], [*used, *self._jars(name), android],
                options=TARGET, java_options=self._java_options(android),
            )  # fmt: skip
        if not (ANDROID / "app/src/main").is_dir():
            return
        generated = self._resources()
        folders = [
            ANDROID / "app/src/main/kotlin",
            ANDROID / f"app/src/{self.flavor}/kotlin",
            generated / "java",
        ]
        jars = dict.fromkeys(jar for name in self.modules() for jar in self._jars(name))
        self.classes["app"] = self.compiler.compile(
            f"android-app-{self.flavor}", folders, [*self.classes.values(), *jars, android],
            options=TARGET, java_options=self._java_options(android),
        )  # fmt: skip

    def check_references(self) -> list[str]:
        """Fail where something used is neither in API 23 nor in stubs/; return what is used of stubs/."""
        source = self.out / "references.zip"
        with zipfile.ZipFile(source, "w", zipfile.ZIP_STORED) as archive:
            for classes in self.classes.values():
                for file in sorted(classes.rglob("*.class")):
                    archive.write(file, file.relative_to(classes))
        missing = self._missing(source, self.compiler.out / "android-with-stubs.jar")
        if missing:
            raise BuildError("\n".join(missing))
        return [
            line.partition(" (referenced")[0].removeprefix("Missing ")
            for line in self._missing(source, self.android_jar)
        ]

    def _missing(self, source: Path, android: Path) -> list[str]:
        """What SOURCE's classes refer to that is neither in them, nor in their libraries, nor in ANDROID."""
        jars = dict.fromkeys(jar for name in self.modules() for jar in self._jars(name))
        targets = [argument for jar in jars for argument in ("--target", jar)]
        done = subprocess.run(
            self.r8(
                "tracereferences.TraceReferences", "--check", "--source", source, *targets, "--lib", android
            ),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return []
        lines = [line.removeprefix("Error: ") for line in done.stderr.splitlines()]
        missing = [line for line in lines if line.startswith("Missing ")]
        if not missing:
            raise BuildError(f"TraceReferences failed:\n{done.stderr}")
        return list(dict.fromkeys(missing))

    def _jars(self, name: str) -> list[Path]:
        named = dict.fromkeys([jar for each in (name, *uses_of(name)) for jar in MODULES[each].jars])
        return [self.compiler.tools / jar for jar in (*named, *LIBRARY)]

    def _java_options(self, android: Path) -> list[str]:
        return ["-source", "8", "-target", "8", "-Xlint:-options", "-bootclasspath", str(android)]

    def _android_with_stubs(self) -> Path:
        """android.jar with the declarations of stubs/ added; see its README."""
        stubs = sorted((ANDROID / "stubs").rglob("*.java"))
        merged, state = self.compiler.out / "android-with-stubs.jar", self.compiler.out / "stubs.state"
        wanted = hash_of(*stubs, HERE / "AddStubs.java") + str(self.android_jar)
        if state.is_file() and state.read_text() == wanted and merged.is_file():
            return merged
        classes = self.compiler.out / "stubs"
        shutil.rmtree(classes, ignore_errors=True)
        classes.mkdir(parents=True)
        run("javac", "-nowarn", *self._java_options(self.android_jar), "-d", classes, *stubs)
        jar = self.compiler.tools / "kotlin/lib/kotlin-compiler.jar"
        run("java", "-cp", jar, HERE / "AddStubs.java", self.android_jar, classes, merged)
        state.write_text(wanted)
        return merged

    def _resources(self) -> Path:
        """Compile and link the resources into base.apk; return the folder under which R.java lies."""
        need_android_tools("aapt2")
        version, generated = versions(), self.out / "generated"
        shutil.rmtree(generated, ignore_errors=True)
        (generated / "java").mkdir(parents=True)
        manifest = self.out / "AndroidManifest.xml"
        manifest.write_bytes(merged_manifest(self.flavor))
        run("aapt2", "compile", "--dir", ANDROID / "app/src/main/res", "-o", self.out / "res.zip")
        run(
            "aapt2", "link", "-I", FRAMEWORK, "--manifest", manifest, "--java", generated / "java",
            "--min-sdk-version", version["minSdk"], "--target-sdk-version", version["targetSdk"],
            "--version-code", version["versionCode"], "--version-name", version["versionName"],
            "-A", ANDROID / "app/src/main/assets", "-o", self.out / "base.apk", self.out / "res.zip",
        )  # fmt: skip
        return generated


def merged_manifest(flavor: str) -> bytes:
    """The app's manifest with the flavour's permissions and components, as Gradle's merger puts them."""
    ET.register_namespace("android", NAMESPACE)
    main = (ANDROID / "app/src/main/AndroidManifest.xml").read_text(encoding="utf-8")
    tree = ET.fromstring(main.replace("${applicationId}", APPLICATION))
    tree.set("package", APPLICATION)
    application = tree.find("application")
    assert application is not None
    added = ANDROID / f"app/src/{flavor}/AndroidManifest.xml"
    if added.is_file():
        for element in ET.parse(added).getroot():
            if element.tag == "application":
                application.extend(list(element))
            else:
                tree.insert(0, element)
    # Libraries are mapped from the APK itself, where they are stored as they are.
    application.set(f"{{{NAMESPACE}}}extractNativeLibs", "false")
    # Words to Gradle's merger about what other manifests bring, which there are none of here.
    for element in list(application):
        if element.get(f"{{{TOOLS_NAMESPACE}}}node") == "remove":
            application.remove(element)
    return ET.tostring(tree, encoding="utf-8", xml_declaration=True)
