"""MODEL as the user names it -> a local folder. The only code that downloads."""

import re
from dataclasses import dataclass
from pathlib import Path

from pocketvl.export.checkpoint.config import CONFIG_FILE, check_model_type
from pocketvl.export.checkpoint.settings import SETTINGS_FILES
from pocketvl.export.checkpoint.weights import INDEX_FILE, SINGLE_FILE, shard_names
from pocketvl.export.component import TINY
from pocketvl.runtime import names
from pocketvl.runtime.errors import CheckpointError, UsageError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_CACHE = re.compile(r"models--(.+)")


@dataclass(frozen=True)
class Source:
    """folder: where the files are. name: for reports, without this machine's folders. revision: the commit,
    for a model of the hub."""

    folder: Path
    name: str
    revision: str | None = None


def locate(model: str, revision: str | None = None) -> Source:
    """`tiny` is the shipped model (a folder of that name is `./tiny`), then a local folder, then the hub.

    revision: a branch, tag or commit of a model of the hub, its main branch unless given. Raises
    CheckpointError for what is none of them, UsageError for a revision of what has none.
    """
    if model == TINY:
        _refuse_revision(revision, f"`{TINY}` comes with pocketvl")
        return _tiny()
    folder = Path(model).expanduser()
    if folder.is_dir():
        _refuse_revision(revision, f"{model} is a folder on this machine")
        return Source(folder, reported_name(model), _commit(folder))
    if folder.exists():
        raise CheckpointError(f"{model} is a file; give the folder that holds it, or a model id of the hub.")
    hub_id, at, pinned = model.partition("@")
    if at and _HUB_ID.fullmatch(hub_id):
        raise UsageError(
            f"{model} is no model id; give the revision by itself: {hub_id} --revision {pinned}."
        )
    if not _HUB_ID.fullmatch(model):
        raise CheckpointError(
            f"{model} does not exist; give a checkpoint folder, a model id such as"
            " Qwen/Qwen2-VL-2B-Instruct, or `tiny`."
        )
    folder = _download(model, revision)
    return Source(folder, model, _commit(folder))


def _refuse_revision(revision: str | None, what: str) -> None:
    if revision is not None:
        raise UsageError(
            f"--revision {revision} chooses a commit, tag or branch on the hub, but {what}; leave it out."
        )


def _commit(folder: Path) -> str | None:
    """Of a snapshot in the hub's cache, whose folder has its name."""
    resolved = folder.resolve()
    return resolved.name if resolved.parent.name == "snapshots" and _COMMIT.fullmatch(resolved.name) else None


def reported_name(model: str) -> str:
    """MODEL without this machine's folders."""
    folder = Path(model).expanduser()
    return _folder_name(folder) if model != TINY and folder.is_dir() else model


def _tiny() -> Source:
    # Only this model needs the package that draws its images.
    from pocketvl.export.tiny import checkpoint_folder

    return Source(checkpoint_folder(), TINY)


def _folder_name(folder: Path) -> str:
    """The folder's own name; inside the hub's cache, where that is a commit, the model's id."""
    resolved = folder.resolve()
    for parent in resolved.parents:
        if cached := _HUB_CACHE.fullmatch(parent.name):
            return cached[1].replace("--", "/", 1)
    return resolved.name or "checkpoint"


def _download(hub_id: str, revision: str | None) -> Path:
    """The small files first, so that a model of another kind is refused before gigabytes travel; the weights
    then from the same commit, wherever a branch has moved meanwhile."""
    folder = _snapshot(hub_id, [CONFIG_FILE, INDEX_FILE, *SETTINGS_FILES, names.MODEL_CARD], revision)
    check_model_type(folder)
    return _snapshot(hub_id, list(shard_names(folder) or (SINGLE_FILE,)), _commit(folder) or revision)


def _snapshot(hub_id: str, files: list[str], revision: str | None) -> Path:
    # Importing the hub's client takes a third of a second that local folders need not pay.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=files))
    except GatedRepoError:
        raise CheckpointError(
            f"{hub_id} is gated: accept its terms on huggingface.co and log in with `hf auth login`."
        ) from None
    except RepositoryNotFoundError:
        raise CheckpointError(
            f"{hub_id} is neither a folder here nor a model on huggingface.co (or it is private: log in"
            " with `hf auth login`)."
        ) from None
    except RevisionNotFoundError:
        raise CheckpointError(
            f"{hub_id} has no commit, tag or branch {revision!r}; look it up under 'Files and versions' on"
            " huggingface.co."
        ) from None
    except LocalEntryNotFoundError:
        raise CheckpointError(
            f"{hub_id} is not a folder here, and huggingface.co cannot be reached. Check the network, or"
            " give the folder of a checkpoint that is already on this machine."
        ) from None
    except Exception as error:
        # The client and the layers under it raise many types; all mean that the download failed.
        raise CheckpointError(f"{hub_id} could not be downloaded: {error}. Try again.") from error
