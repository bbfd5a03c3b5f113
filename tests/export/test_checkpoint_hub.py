"""Models of the hub: what is downloaded, in which order, and what is said when it fails."""

import pickle
from collections.abc import Callable
from pathlib import Path
from shutil import copyfile

import huggingface_hub
import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from pocketvl.export.checkpoint import open_checkpoint
from pocketvl.export.component import ExportSettings
from pocketvl.export.pipeline import export_bundle
from pocketvl.quant.recipe import named_recipe
from pocketvl.runtime.bundle.manifest import read_manifest
from pocketvl.runtime.errors import CheckpointError, UsageError
from tests.support.checkpoints import write_checkpoint
from tests.support.exporters import QUICK

HUB_ID = "Qwen/Qwen2-VL-2B-Instruct"
COMMIT = "895c3a49bc3fa70a340399125c650a463535e71c"


class FakeHub:
    """Copies from a folder the files that are asked for, as the hub's client would into its cache."""

    def __init__(self, published: Path, cache: Path) -> None:
        self.published, self.cache = published, cache
        self.asked: list[list[str]] = []
        self.revisions: list[str | None] = []

    def snapshot_download(self, repo_id: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        assert repo_id == HUB_ID
        self.asked.append(allow_patterns)
        self.revisions.append(revision)
        self.cache.mkdir(parents=True, exist_ok=True)
        for name in allow_patterns:
            if (self.published / name).exists():
                copyfile(self.published / name, self.cache / name)
        return str(self.cache)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(tmp_path / "published", tmp_path / "cache" / "snapshots" / COMMIT)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
    return fake


@pytest.mark.parametrize("shards", [1, 2])
def test_only_what_is_needed_is_downloaded(hub: FakeHub, shards: int) -> None:
    write_checkpoint(hub.published, shards=shards)
    (hub.published / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    for name in ("notes.md", "pytorch_model.bin", "optimizer.safetensors"):
        (hub.published / name).write_text("large")
    checkpoint = open_checkpoint(HUB_ID)
    assert checkpoint.name == HUB_ID
    assert checkpoint.tensor("model.norm.weight").shape == (96,)
    found = {path.name for path in hub.cache.iterdir()}
    assert "README.md" in found  # it names the licence
    assert not found & {"notes.md", "pytorch_model.bin", "optimizer.safetensors"}
    assert len([name for name in found if name.endswith(".safetensors")]) == shards


@pytest.mark.parametrize("revision", [None, "v1.0", "refs/pr/3"])
def test_one_commit_is_read_whatever_its_branch_does(hub: FakeHub, revision: str | None) -> None:
    write_checkpoint(hub.published)
    checkpoint = open_checkpoint(HUB_ID, revision)
    assert hub.revisions == [revision, COMMIT]
    assert checkpoint.revision == COMMIT
    assert pickle.loads(pickle.dumps(checkpoint)).revision == COMMIT
    assert open_checkpoint(str(hub.cache)).revision == COMMIT  # the snapshot, given as a folder


def test_the_manifest_names_the_commit(hub: FakeHub, tmp_path: Path) -> None:
    write_checkpoint(hub.published)
    manifest = export_bundle(
        HUB_ID,
        tmp_path / "out",
        recipe=named_recipe("fp32"),
        settings=ExportSettings(),
        revision="v1.0",
        command="pytest",
        target=QUICK,
    )
    assert hub.revisions[0] == "v1.0"
    assert (manifest.provenance.source, manifest.provenance.source_revision) == (HUB_ID, COMMIT)
    assert read_manifest(tmp_path / "out" / "manifest.json") == manifest
    assert f"{HUB_ID}, commit {COMMIT} (sha256" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("model", ["tiny", "{folder}"])
def test_what_is_on_this_machine_has_no_revision(tmp_path: Path, model: str) -> None:
    write_checkpoint(tmp_path)
    folder = model.format(folder=tmp_path)
    assert open_checkpoint(folder).revision is None
    with pytest.raises(UsageError, match="--revision v1 chooses a commit, tag or branch on the hub, but"):
        open_checkpoint(folder, "v1")


def test_a_revision_inside_the_model_id(hub: FakeHub) -> None:
    with pytest.raises(UsageError, match=f"give the revision by itself: {HUB_ID} --revision v1"):
        open_checkpoint(f"{HUB_ID}@v1")
    assert not hub.asked


def test_another_model_is_refused_before_its_weights(hub: FakeHub) -> None:
    write_checkpoint(hub.published)
    config = hub.published / "config.json"
    config.write_text(config.read_text().replace('"qwen2_vl"', '"qwen2_5_vl"', 1))
    with pytest.raises(CheckpointError, match=r"Qwen2\.5-VL"):
        open_checkpoint(HUB_ID)
    assert len(hub.asked) == 1
    assert not any(name.endswith(".safetensors") for name in hub.asked[0])


# __new__: a server's answer, which these errors are otherwise made of, has no part in this.
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            lambda: RepositoryNotFoundError.__new__(RepositoryNotFoundError),
            "neither a folder here nor a model",
        ),
        (lambda: GatedRepoError.__new__(GatedRepoError), "gated"),
        (lambda: LocalEntryNotFoundError("offline"), "cannot be reached"),
        (lambda: RevisionNotFoundError.__new__(RevisionNotFoundError), "no commit, tag or branch 'main2'"),
        (lambda: TimeoutError("slow line"), "could not be downloaded: slow line"),
        (lambda: OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_failures(monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception], said: str) -> None:
    def fail(*_: object, **__: object) -> str:
        raise error()

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(CheckpointError, match=said) as caught:
        open_checkpoint(HUB_ID, "main2")
    assert HUB_ID in str(caught.value)


def test_without_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The real client in its offline mode, with an empty cache."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="cannot be reached"):
        open_checkpoint("no-such-owner/no-such-model")
