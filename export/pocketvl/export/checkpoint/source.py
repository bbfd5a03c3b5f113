"""MODEL as the user names it -> a local folder. The only code that downloads."""

import re
from dataclasses import dataclass
from pathlib import Path

from pocketvl.export.checkpoint.config import CONFIG_FILE, check_model_type
from pocketvl.export.checkpoint.settings import SETTINGS_FILES
from pocketvl.export.checkpoint.weights import INDEX_FILE, SINGLE_FILE, shard_names
from pocketvl.runtime import names
from pocketvl.runtime.errors import CheckpointError

TINY = "tiny"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB_CACHE = re.compile(r"models--(.+)")


@dataclass(frozen=True)
class Source:
    """folder: where the files are. name: for reports, without this machine's folders."""

    folder: Path
    name: str


def locate(model: str) -> Source:
    """`tiny` is the shipped model (a folder of that name is `./tiny`), then a local folder, then the hub.

    Raises CheckpointError for what is none of them.
    """
    if model == TINY:
        return _tiny()
    folder = Path(model).expanduser()
    if folder.is_dir():
        return Source(folder, reported_name(model))
    if folder.exists():
        raise CheckpointError(f"{model} is a file; give the folder that holds it, or a model id of the hub.")
    if not _HUB_ID.fullmatch(model):
        raise CheckpointError(
            f"{model} does not exist; give a checkpoint folder, a model id such as"
            " Qwen/Qwen2-VL-2B-Instruct, or `tiny`."
        )
    return Source(_download(model), model)


def reported_name(model: str) -> str:
    """MODEL without this machine's folders."""
    folder = Path(model).expanduser()
    return _folder_name(folder) if model != TINY and folder.is_dir() else model


def _tiny() -> Source:
    # Only this model needs the package that draws its pictures.
    from pocketvl.export.tiny import checkpoint_folder

    return Source(checkpoint_folder(), TINY)


def _folder_name(folder: Path) -> str:
    """The folder's own name; inside the hub's cache, where that is a commit, the model's id."""
    resolved = folder.resolve()
    for parent in resolved.parents:
        if cached := _HUB_CACHE.fullmatch(parent.name):
            return cached[1].replace("--", "/", 1)
    return resolved.name or "checkpoint"


def _download(hub_id: str) -> Path:
    """The small files first, so that a model of another kind is refused before gigabytes travel."""
    folder = _snapshot(hub_id, [CONFIG_FILE, INDEX_FILE, *SETTINGS_FILES, names.MODEL_CARD])
    check_model_type(folder)
    return _snapshot(hub_id, list(shard_names(folder) or (SINGLE_FILE,)))


def _snapshot(hub_id: str, files: list[str]) -> Path:
    # Importing the hub's client takes a third of a second that local folders need not pay.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        return Path(snapshot_download(hub_id, allow_patterns=files))
    except GatedRepoError:
        raise CheckpointError(
            f"{hub_id} is gated: accept its terms on huggingface.co and log in with `hf auth login`."
        ) from None
    except RepositoryNotFoundError:
        raise CheckpointError(
            f"{hub_id} is neither a folder here nor a model on huggingface.co (or it is private: log in"
            " with `hf auth login`)."
        ) from None
    except LocalEntryNotFoundError:
        raise CheckpointError(
            f"{hub_id} is not a folder here, and huggingface.co cannot be reached. Check the network, or"
            " give the folder of a checkpoint that is already on this machine."
        ) from None
    except Exception as error:
        # The client and the layers under it raise many types; all mean that the download failed.
        raise CheckpointError(f"{hub_id} could not be downloaded: {error}. Try again.") from error
