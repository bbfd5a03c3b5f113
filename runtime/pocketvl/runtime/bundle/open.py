"""Opening a bundle: what does not fit is refused here, before any native code sees it."""

import os
from dataclasses import dataclass
from pathlib import Path

from pocketvl.runtime import names
from pocketvl.runtime.bundle.entry_points import entry_point_fault
from pocketvl.runtime.bundle.file import file_size
from pocketvl.runtime.bundle.manifest import FileRecord, Manifest, read_manifest
from pocketvl.runtime.bundle.manifest_hash import check_manifest_hash
from pocketvl.runtime.bundle.verification import Verify, check_verify, verify_files
from pocketvl.runtime.errors import BundleError


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: every file listed in its manifest is there and, unless it was opened with
    verify="never", has the bytes for which the manifest was written."""

    folder: Path
    manifest: Manifest

    def path(self, file: str) -> Path:
        """Where a file of the manifest, or a folder of its files, stands. Raises BundleError for another."""
        listed = (record.path for record in self.manifest.files)
        if not any(path == file or path.startswith(f"{file}/") for path in listed):
            raise BundleError(f"{self.folder} has no file {file} in its manifest.")
        return self.folder / file


def open_bundle(folder: Path, verify: Verify = "stamp") -> Bundle:
    """Read the manifest and check that the files, ids, sizes, hashes and entry points in it fit together.

    verify: "stamp" compares the sha256 of every file the first time that this user opens it and after each
    change of it (about a second a gigabyte), "always" every time, also of those optional files that are
    there, and both that of manifest.json with manifest.sha256. "never" compares only sizes: for bundles whose
    bytes something else vouches for, since native code can crash or answer wrongly over a damaged file.
    Raises BundleError (ManifestError for manifest.json itself).
    """
    if not folder.is_dir():
        kind = "is a file, not a folder" if folder.exists() else "does not exist"
        raise BundleError(f"{folder} {kind}; give the folder that `pocketvl export` wrote.")
    check_verify(verify)
    manifest = read_manifest(folder / names.MANIFEST_FILE)
    if verify != "never":
        check_manifest_hash(folder)
    records = manifest.files
    if verify == "always":
        records += tuple(r for r in manifest.optional_files if os.path.lexists(folder / r.path))
    for record in records:
        _check_file(folder, record)
    _check_contents(folder, manifest)
    verify_files(folder, records, verify)
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
    if table.file not in sizes:
        raise _unfit(folder, f"has its embedding table in {table.file}, which is no file of it")
    if table.end > sizes[table.file]:
        raise _unfit(
            folder,
            f"ends its embedding table at byte {table.end} of {table.file}, which has {sizes[table.file]}",
        )
    channels, colours = manifest.geometry.vision.in_channels, len(manifest.image.mean)
    if channels != colours:
        raise _unfit(folder, f"has in_channels {channels}, but images have {colours}")
    if (fault := entry_point_fault(manifest)) is not None:
        raise _unfit(folder, fault)
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


def _unfit(folder: Path, what: str) -> BundleError:
    return BundleError(f"{folder / names.MANIFEST_FILE} {what}; export the bundle again.")
