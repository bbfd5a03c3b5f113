"""The phone parts' versions: those that Gradle's catalog names are those that the scripts build with."""

import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CATALOG = tomllib.loads((ROOT / "android_demo/gradle/libs.versions.toml").read_text())
VERSIONS = CATALOG["versions"]
LOCK = json.loads((ROOT / "tools/phone/package-lock.json").read_text())["packages"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_catalog_has_the_compiler_that_the_lock_names() -> None:
    assert LOCK["node_modules/kotlin-compiler"]["version"] == VERSIONS["kotlin"]


def test_the_lock_holds_what_was_asked_for() -> None:
    asked = json.loads((ROOT / "tools/phone/package.json").read_text())["dependencies"]
    assert asked == LOCK[""]["dependencies"]
    for name, version in asked.items():
        assert LOCK[f"node_modules/{name}"]["version"] == version
        assert LOCK[f"node_modules/{name}"]["integrity"].startswith("sha512-")


def test_the_app_has_the_projects_version() -> None:
    assert VERSIONS["versionName"] == PROJECT["version"]


def test_the_catalog_has_the_executorch_that_bundles_are_exported_with() -> None:
    asked = [line for line in PROJECT["optional-dependencies"]["executorch"] if line.startswith("executorch")]
    (pinned,) = {re.split("[=~]=", line)[1].removesuffix(".*") for line in asked}
    assert f"{VERSIONS['executorch']}.".startswith(f"{pinned}.")


def test_every_library_and_plugin_names_its_version_in_one_place() -> None:
    used = [*CATALOG["libraries"].values(), *CATALOG["plugins"].values()]
    assert all(entry["version"]["ref"] in VERSIONS for entry in used)


def test_each_module_of_the_script_is_one_of_gradles() -> None:
    settings = (ROOT / "android_demo/settings.gradle.kts").read_text()
    included = set(re.findall('":([a-z]+)"', settings))
    with_sources = {folder.parent.parent.name for folder in (ROOT / "android_demo").glob("*/src/main")}
    assert included == with_sources - {"executorch-jvm"}  # which stands in for Android's classes in tests
