"""Opening a bundle: what does not fit is refused here, before any native code sees it."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from pocketvl.runtime import names
from pocketvl.runtime.bundle_file import file_size
from pocketvl.runtime.errors import BundleError
from pocketvl.runtime.manifest import FileRecord, Manifest, read_manifest

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: every file listed in its manifest is there and has its size."""

    folder: Path
    manifest: Manifest

    def path(self, file: str) -> Path:
        """Where a file of the manifest, or a folder of its files, stands. Raises BundleError for another."""
        listed = (record.path for record in self.manifest.files)
        if not any(path == file or path.startswith(f"{file}/") for path in listed):
            raise BundleError(f"{self.folder} has no file {file} in its manifest.")
        return self.folder / file


def open_bundle(folder: Path, check_hashes: bool = False) -> Bundle:
    """Read the manifest and check that the files, ids and sizes in it fit together.

    check_hashes reads every byte and compares sha256, also of those optional files that are there. Raises
    BundleError (ManifestError for manifest.json itself).
    """
    if not folder.is_dir():
        kind = "is a file, not a folder" if folder.exists() else "does not exist"
        raise BundleError(f"{folder} {kind}; give the folder that `pocketvl export` wrote.")
    manifest = read_manifest(folder / names.MANIFEST_FILE)
    for record in manifest.files:
        _check_file(folder, record)
    _check_contents(folder, manifest)
    if check_hashes:
        optional = [record for record in manifest.optional_files if os.path.lexists(folder / record.path)]
        for record in optional:
            _check_file(folder, record)
        for record in (*manifest.files, *optional):
            _check_hash(folder, record)
    return Bundle(folder, manifest)


def _check_file(folder: Path, record: FileRecord) -> None:
    size = file_size(folder, record.path)
    if size != record.size:
        raise BundleError(
            f"{folder / record.path} has {size} bytes, but the manifest says {record.size}; copy the bundle"
            " again or export it again."
        )


def _check_contents(folder: Path, manifest: Manifest) -> None:
    sizes = {record.path: record.size for record in manifest.files}
    text, table, tokens = manifest.geometry.text, manifest.token_embedding, manifest.special_tokens
    needed = [names.TOKENIZER_FILE] + [names.CHAT_TEMPLATE_FILE] * manifest.chat
    for file in needed:
        if file not in sizes:
            raise _unfit(folder, f"lists no {file}")
    if (table.rows, table.columns) != (text.vocab_size, text.hidden_size):
        raise _unfit(
            folder,
            f"has an embedding table of {table.rows} x {table.columns}, but the model needs"
            f" {text.vocab_size} x {text.hidden_size}",
        )
    if table.end > sizes[table.file]:
        raise _unfit(
            folder,
            f"ends its embedding table at byte {table.end} of {table.file}, which has {sizes[table.file]}",
        )
    if not tokens.eos:
        raise _unfit(folder, "names no token that ends an answer")
    if manifest.chat and tokens.im_end is None:
        raise _unfit(folder, "has a chat template, but no im_end token")
    ids = (tokens.image_pad, tokens.video_pad, tokens.vision_start, tokens.vision_end, *tokens.eos)
    for token in (*ids, *([] if tokens.im_end is None else [tokens.im_end])):
        if not 0 <= token < text.vocab_size:
            raise _unfit(folder, f"uses the token id {token}, outside its vocabulary of {text.vocab_size}")
    if manifest.max_context > text.max_position_embeddings:
        raise _unfit(
            folder,
            f"has max_context {manifest.max_context}, more than the model's {text.max_position_embeddings}",
        )


def _check_hash(folder: Path, record: FileRecord) -> None:
    path = folder / record.path
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != record.sha256:
        raise BundleError(
            f"{path} has the sha256 {digest.hexdigest()}, but the manifest says {record.sha256}; copy the"
            " bundle again or export it again."
        )


def _unfit(folder: Path, what: str) -> BundleError:
    return BundleError(f"{folder / names.MANIFEST_FILE} {what}; export the bundle again.")
