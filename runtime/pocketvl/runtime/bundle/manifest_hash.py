"""manifest.sha256: the hash of manifest.json, the one file that no record covers.

One line, as `sha256sum manifest.json` writes it: 64 lowercase hexadecimal digits, two spaces, the name.
"""

from hashlib import sha256
from pathlib import Path

from pocketvl.runtime import names
from pocketvl.runtime.bundle.file import file_size
from pocketvl.runtime.errors import ManifestError

_AGAIN = f"`sha256sum {names.MANIFEST_FILE} > {names.MANIFEST_HASH_FILE}` in its folder"


def write_manifest_hash(folder: Path) -> None:
    """For the manifest.json that is in the folder."""
    (folder / names.MANIFEST_HASH_FILE).write_bytes(_line(folder / names.MANIFEST_FILE))


def check_manifest_hash(folder: Path) -> None:
    """Raises ManifestError unless manifest.json is what manifest.sha256 was written for."""
    manifest, recorded = folder / names.MANIFEST_FILE, folder / names.MANIFEST_HASH_FILE
    if not recorded.exists():
        raise ManifestError(
            f"{recorded} is missing, so that damage to {manifest} would not be seen; copy the whole bundle"
            f" again or export it again, or, if you trust it as it is, run {_AGAIN}."
        )
    try:
        expected = _line(manifest)
        same = file_size(folder, recorded.name, ManifestError) == len(expected)
        same = same and recorded.read_bytes() == expected
    except OSError as error:
        raise ManifestError(
            f"{error.filename} cannot be read ({error.strerror}); copy the bundle again."
        ) from None
    if not same:
        raise ManifestError(
            f"{manifest} is not what {recorded} was written for, so one of the two is damaged or was edited;"
            f" copy the bundle again or export it again, or, after an edit of your own, run {_AGAIN}."
        )


def _line(manifest: Path) -> bytes:
    return f"{sha256(manifest.read_bytes()).hexdigest()}  {manifest.name}\n".encode()
