"""How the APK's entries are placed, which phones with 16 KB pages depend on; no tool of Android is needed."""

import io
import struct
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest


@pytest.fixture
def apk(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "tools/phone"))
    for name in ("modules", "android", "jvm", "native", "apk"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import apk  # type: ignore[import-not-found]

    return apk


def write(apk: ModuleType, entries: list[tuple[str, bytes, bool, int]]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as out:
        for name, data, stored, alignment in entries:
            apk.store(out, name, data, stored=stored, alignment=alignment)
    return file.getvalue()


def test_stored_entries_begin_where_they_must_and_keep_their_bytes(apk: ModuleType) -> None:
    entries = [
        ("resources.arsc", b"r" * 1001, True, 4),
        ("classes.dex", b"d" * 5000, False, 4),
        ("lib/arm64-v8a/liba.so", b"a" * 70_001, True, 16_384),
        ("lib/arm64-v8a/liblonger.so", b"b" * 3, True, 16_384),
    ]
    written = write(apk, entries)
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        assert archive.testzip() is None
        for name, data, stored, alignment in entries:
            entry = archive.getinfo(name)
            assert archive.read(name) == data
            if stored:
                lengths = struct.unpack_from("<HH", written, entry.header_offset + 26)
                start = entry.header_offset + 30 + sum(lengths)
                assert start % alignment == 0
                assert written[start : start + len(data)] == data


def test_the_same_input_makes_the_same_bytes(apk: ModuleType) -> None:
    entries = [("a", b"1", True, 4), ("b", b"2" * 100, False, 4)]
    assert write(apk, entries) == write(apk, entries)


def elf(alignments: list[int]) -> bytes:
    header = bytearray(64)
    struct.pack_into("<Q", header, 32, 64)
    struct.pack_into("<HH", header, 54, 56, len(alignments) + 1)
    segments = [struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 0, 0, alignment) for alignment in alignments]
    return bytes(header) + b"".join(segments) + struct.pack("<IIQQQQQQ", 6, 4, 0, 0, 0, 0, 0, 8)


def test_a_library_for_small_pages_or_out_of_place_is_refused(apk: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "app.apk"
    name = "lib/x86_64/liba.so"
    file.write_bytes(write(apk, [(name, elf([65_536, 16_384]), True, apk.PAGE)]))
    apk.check_libraries(file, ("x86_64",))
    with pytest.raises(apk.BuildError, match=r"has \['lib/x86_64/liba.so'\]"):
        apk.check_libraries(file, ("arm64-v8a", "x86_64"))
    file.write_bytes(write(apk, [(name, elf([16_384, 4096]), True, apk.PAGE)]))
    with pytest.raises(apk.BuildError, match="a segment aligned to 4096"):
        apk.check_libraries(file, ("x86_64",))
    file.write_bytes(write(apk, [(name, elf([16_384]), True, 4096)]))
    with pytest.raises(apk.BuildError, match="cannot be mapped"):
        apk.check_libraries(file, ("x86_64",))
    file.write_bytes(write(apk, [(name, elf([16_384]), False, 4)]))
    with pytest.raises(apk.BuildError, match="cannot be mapped"):
        apk.check_libraries(file, ("x86_64",))


@pytest.mark.parametrize(
    ("flavor", "permissions"),
    [
        ("offline", {"android.permission.CAMERA"}),
        ("download", {"android.permission.CAMERA", "android.permission.INTERNET"}),
    ],
)
def test_the_manifest_is_what_gradle_would_merge(apk: ModuleType, flavor: str, permissions: set[str]) -> None:
    from android import NAMESPACE, merged_manifest  # type: ignore[import-not-found]

    text = merged_manifest(flavor).decode()
    manifest = ElementTree.fromstring(text)
    name = f"{{{NAMESPACE}}}name"
    assert {element.get(name) for element in manifest.iter("uses-permission")} == permissions
    assert permissions == apk.PERMISSIONS[flavor]
    providers = {element.get(name) for element in manifest.iter("provider")}
    assert "ai.onnxruntime.TelemetryInitializer" not in providers
    assert "${" not in text


def test_the_readme_names_each_permission(apk: ModuleType) -> None:
    text = (Path(__file__).resolve().parents[1] / "android_demo/README.md").read_text()
    for permission in set.union(*apk.PERMISSIONS.values()):
        assert f"`{permission}`" in text
