"""Builds, signs and checks the app's APK without Gradle, for android_demo/build_apk.sh."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import struct
import sys
import zipfile
from pathlib import Path

from android import FLAVORS, AndroidBuild, need_android_tools, run, versions
from jvm import install
from modules import ANDROID, ENGINE_JARS, LIBRARY, BuildError, Compiler, MissingError, hash_of

ABIS = ("arm64-v8a", "x86_64")
PAGE = 16 * 1024  # of phones with large pages; a multiple of every other's
# What each flavour may ask the user or the system for; android_demo/README.md says why.
PERMISSIONS = {
    "offline": {"android.permission.CAMERA"},
    "download": {"android.permission.CAMERA", "android.permission.INTERNET"},
}
# An extra field of a ZIP entry that says to what its data is aligned; apksigner keeps to it.
ALIGNMENT_FIELD = 0xD935


def main() -> int:
    parser = argparse.ArgumentParser(prog="android_demo/build_apk.sh", description=__doc__)
    parser.add_argument(
        "--download", action="store_true", help="with the INTERNET permission, to download bundles"
    )
    parser.add_argument(
        "--abi", choices=ABIS, action="append", help="native code for this alone (default: both)"
    )
    arguments = parser.parse_args()
    compiler: Compiler | None = None
    try:
        compiler = Compiler(install(), ANDROID / "build/jvm")
        build = AndroidBuild(compiler, install("--android"), "download" if arguments.download else "offline")
        need_android_tools("aapt2", "zipalign", "apksigner", "dexdump", "keytool")
        check_versions(build)
        build.compile()
        newer = build.check_references()
        apk = package(build, tuple(arguments.abi or ABIS))
        check(apk, build.flavor, tuple(arguments.abi or ABIS))
        report(apk, build.flavor, len(newer))
    except (BuildError, MissingError) as failure:
        print(failure, file=sys.stderr)
        return 1
    finally:
        if compiler is not None:
            compiler.close()
    return 0


def check_versions(build: AndroidBuild) -> None:
    """What is packaged is of the versions that the catalog names, which Gradle takes from Maven."""
    tools, named = build.compiler.tools, versions()
    with zipfile.ZipFile(tools / LIBRARY[1]) as jar:
        coroutines = jar.read("META-INF/kotlinx_coroutines_core.version").decode().strip()
    header = (tools / "onnxruntime/headers/onnxruntime_c_api.h").read_text()
    api = re.search(r"#define ORT_API_VERSION (\d+)", header)  # 29 in 1.29.0
    if coroutines != named["coroutines"] or api is None or named["onnxruntime"].split(".")[1] != api[1]:
        raise BuildError(
            f"gradle/libs.versions.toml names coroutines {named['coroutines']} and onnxruntime"
            f" {named['onnxruntime']}, but {coroutines} and 1.{api[1] if api else '?'} are packaged"
        )


def package(build: AndroidBuild, abis: tuple[str, ...]) -> Path:
    """The signed APK of what was compiled."""
    named = f"pocketvl-{versions()['versionName']}-{build.flavor}"
    name = named if len(abis) == len(ABIS) else f"{named}-{'-'.join(abis)}"
    unsigned, apk = build.out / "unsigned.apk", ANDROID / "build" / f"{name}.apk"
    dexes = dex(build)
    with zipfile.ZipFile(build.out / "base.apk") as base, zipfile.ZipFile(unsigned, "w") as out:
        for entry in base.infolist():
            # Android reads the table of resources in place, from API 30 on by requirement.
            store(out, entry.filename, base.read(entry), stored=entry.compress_type == zipfile.ZIP_STORED)
        for file in dexes:
            store(out, file.name, file.read_bytes(), stored=False)
        for abi in abis:
            for library in sorted((build.compiler.tools / "onnxruntime/jni" / abi).glob("*.so")):
                store(out, f"lib/{abi}/{library.name}", library.read_bytes(), stored=True, alignment=PAGE)
    key = debug_key()
    run(
        "apksigner", "sign", "--ks", key, "--ks-pass", "pass:android", "--ks-key-alias", "debug",
        "--min-sdk-version", versions()["minSdk"], "--v4-signing-enabled", "false", "--out", apk, unsigned,
    )  # fmt: skip
    unsigned.unlink()
    return apk


def store(out: zipfile.ZipFile, name: str, data: bytes, *, stored: bool, alignment: int = 4) -> None:
    """Add an entry; the data of a stored one begins at a multiple of ALIGNMENT."""
    entry = zipfile.ZipInfo(name, (1981, 1, 1, 1, 1, 2))  # the same bytes for the same input
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    if stored:
        assert out.fp is not None
        fields = 30 + len(name.encode()) + 6  # local header, name, the extra field without its padding
        padding = -(out.fp.tell() + fields) % alignment
        entry.extra = struct.pack("<HHH", ALIGNMENT_FIELD, 2 + padding, alignment) + bytes(padding)
    out.writestr(entry, data, compresslevel=9)


def dex(build: AndroidBuild) -> list[Path]:
    """The app's classes and its libraries' as Android's bytecode; the libraries' is made once."""
    tools = build.compiler.tools
    libraries = [tools / jar for jar in (*LIBRARY, ENGINE_JARS[0])]
    least = ["--release", "--min-api", versions()["minSdk"], "--lib", build.android_jar]
    kept = build.android_tools / f"dex-{hash_of(*libraries)[:12]}-{versions()['minSdk']}.zip"
    if not kept.is_file():
        new = kept.with_name(f"new-{os.getpid()}-{kept.name}")  # other checkouts share the folder
        run(*build.r8("D8", *least, "--output", new, *libraries))
        new.replace(kept)
    classes = build.out / "classes.zip"
    with zipfile.ZipFile(classes, "w") as archive:
        for folder in build.classes.values():
            for file in sorted(folder.rglob("*.class")):
                archive.write(file, file.relative_to(folder))
    # Named to D8, but not packaged: what ExecuTorch's Java classes need beside them is in Maven alone.
    known = [argument for jar in (*libraries, tools / ENGINE_JARS[1]) for argument in ("--classpath", jar)]
    own = build.out / "own.zip"
    run(*build.r8("D8", *least, *known, "--output", own, classes))
    folder = build.out / "dex"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    run(*build.r8("D8", *least, "--output", folder, kept, own))
    return sorted(folder.glob("*.dex"))


def debug_key() -> Path:
    """A key made on this machine, and kept so that a new build installs over the last one."""
    key = ANDROID / "build/debug.keystore"
    if not key.is_file():
        key.parent.mkdir(exist_ok=True)
        run(
            "keytool", "-genkeypair", "-keystore", key, "-storepass", "android", "-keypass", "android",
            "-alias", "debug", "-dname", "CN=Android Debug", "-keyalg", "RSA", "-keysize", "2048",
            "-validity", "10000",
        )  # fmt: skip
    return key


def check(apk: Path, flavor: str, abis: tuple[str, ...]) -> None:
    """Everything that can be known of an APK without a phone. Raises BuildError."""
    verified = run("apksigner", "verify", "--verbose", "--min-sdk-version", versions()["minSdk"], apk)
    for scheme in ("v2 scheme", "v3 scheme"):
        if not re.search(rf"{scheme}.*: true", verified):
            raise BuildError(f"{apk.name} is not signed by the {scheme}:\n{verified}")
    run("zipalign", "-c", "-p", "4", apk)
    check_manifest(apk, flavor, abis)
    check_libraries(apk, abis)
    names = zipfile.ZipFile(apk).namelist()
    for needed in ("apache-2.0.txt", "onnxruntime.txt", "about.txt"):
        if f"assets/licenses/{needed}" not in names:
            raise BuildError(f"{apk.name} lacks the license text {needed}")
    check_classes(apk, flavor)


def check_manifest(apk: Path, flavor: str, abis: tuple[str, ...]) -> None:
    badging, version = run("aapt2", "dump", "badging", apk), versions()
    asked = set(re.findall(r"uses-permission(?:-sdk-\d+)?: name='([^']+)'", badging))
    if asked != PERMISSIONS[flavor]:
        raise BuildError(
            f"{apk.name} asks for {sorted(asked)}, but {flavor} is to ask for {PERMISSIONS[flavor]}"
        )
    for wanted in (
        f"versionCode='{version['versionCode']}' versionName='{version['versionName']}'",
        f"sdkVersion:'{version['minSdk']}'",
        f"targetSdkVersion:'{version['targetSdk']}'",
        "launchable-activity: name='dev.pocketvl.app.MainActivity'",
        f"native-code: {' '.join(repr(abi) for abi in abis)}\n",
        "uses-feature-not-required: name='android.hardware.camera'",
    ):
        if wanted not in badging:
            raise BuildError(f"{apk.name} does not say {wanted}:\n{badging}")
    manifest = run("aapt2", "dump", "xmltree", "--file", "AndroidManifest.xml", apk)
    if "TelemetryInitializer" in manifest:
        raise BuildError(f"{apk.name} starts ONNX Runtime's telemetry")
    if "${" in manifest:
        raise BuildError(f"{apk.name} has a placeholder of Gradle's in its manifest:\n{manifest}")


def check_libraries(apk: Path, abis: tuple[str, ...]) -> None:
    """Native libraries are mapped from the APK: stored, at a page's start, with segments likewise."""
    with zipfile.ZipFile(apk) as archive, apk.open("rb") as file:
        libraries = [entry for entry in archive.infolist() if entry.filename.endswith(".so")]
        if {entry.filename.split("/")[1] for entry in libraries} != set(abis):
            raise BuildError(f"{apk.name} has {[entry.filename for entry in libraries]}")
        for entry in libraries:
            file.seek(entry.header_offset + 26)
            name, extra = struct.unpack("<HH", file.read(4))
            start = entry.header_offset + 30 + name + extra
            if entry.compress_type != zipfile.ZIP_STORED or start % PAGE:
                raise BuildError(f"{entry.filename} cannot be mapped: at {start}, not a multiple of {PAGE}")
            smallest = min(load_alignments(archive.read(entry)))
            if smallest < PAGE:
                raise BuildError(
                    f"{entry.filename} has a segment aligned to {smallest}; 16 KB pages need {PAGE}"
                )


def load_alignments(elf: bytes) -> list[int]:
    """p_align of each LOAD segment of a little-endian ELF64 file (System V ABI, chapter 5)."""
    (headers,) = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    entries = (struct.unpack_from("<IIQQQQQQ", elf, headers + size * number) for number in range(count))
    return [entry[7] for entry in entries if entry[0] == 1]


def check_classes(apk: Path, flavor: str) -> None:
    """The classes are there; and none that could use the network, in the flavour that may not."""
    dumped = ""
    with zipfile.ZipFile(apk) as archive:
        for name in archive.namelist():
            if name.endswith(".dex"):
                file = apk.with_name("checked.dex")
                file.write_bytes(archive.read(name))
                dumped += run("dexdump", file)
                file.unlink()
    classes = set(re.findall(r"Class descriptor\s*: 'L([^;]+);'", dumped))
    for needed in (
        "dev/pocketvl/app/MainActivity",
        "dev/pocketvl/bundle/Bundle",
        "ai/onnxruntime/OrtSession",
    ):
        if needed not in classes:
            raise BuildError(f"{apk.name} lacks the class {needed}")
    has_downloader = any(name.startswith("dev/pocketvl/download/") for name in classes)
    if has_downloader != ("download" in FLAVORS[flavor]):
        raise BuildError(
            f"{apk.name} of the flavour {flavor} {'has' if has_downloader else 'lacks'} the downloader"
        )


def report(apk: Path, flavor: str, newer: int) -> None:
    with zipfile.ZipFile(apk) as archive:
        native = {
            abi: sum(
                entry.file_size for entry in archive.infolist() if entry.filename.startswith(f"lib/{abi}/")
            )
            for abi in ABIS
        }
    parts = ", ".join(f"{abi} {size / 1e6:.1f} MB" for abi, size in native.items() if size)
    print(f"{apk}: {apk.stat().st_size / 1e6:.1f} MB (native code: {parts})")
    permissions = ", ".join(sorted(PERMISSIONS[flavor]))
    print(f"signed with a debug key, aligned to 16 KB pages; permissions: {permissions}")
    print(f"{newer} references to Android newer than API 23, all declared in android_demo/stubs")


if __name__ == "__main__":
    sys.exit(main())
