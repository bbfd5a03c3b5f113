"""Which image a request may name: one that it brings along, or a file of a folder that was allowed."""

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from pocketvl.runtime.errors import ImageError
from pocketvl.runtime.files import shortened
from pocketvl.runtime.media.image_source import path_of_url
from pocketvl.runtime.serve.errors import RequestError


class ImageFiles:
    """No network, and no file outside of `folders`, links followed."""

    def __init__(self, folders: Sequence[Path], most_bytes: int) -> None:
        self._folders = [folder.resolve() for folder in folders]
        self._most_bytes = most_bytes

    def source(self, url: str, where: str) -> str | bytes:
        """What load_image takes: a data: URL as it is, a file's bytes. A relative path is looked up in each
        folder. Raises RequestError: 400, and 403 for a file that is not to be read, whether it exists or not.
        """
        scheme = url[:8].lower()
        if scheme.startswith("data:"):
            return url
        if re.match(r"https?:", scheme):
            raise RequestError(
                400,
                f"{where} is a network address, and this server opens none; send the image as a data: URL.",
                param=where,
                code="invalid_image_url",
            )
        path = self._path(url, where)
        for folder in self._folders:
            found = _inside(folder, path)
            if found is not None and (len(self._folders) == 1 or found.exists()):
                return self._read(found, where)
        allowed = "is in no folder of --allow-files" if self._folders else "needs --allow-files"
        message = f"{where}: {shortened(url)} {allowed}; send a data: URL."
        raise RequestError(403, message, param=where, code="file_not_allowed")

    def _path(self, url: str, where: str) -> str:
        try:
            path = path_of_url(url) if url[:5].lower() == "file:" else url
        except ImageError as error:
            raise RequestError(400, str(error), param=where, code="invalid_image_url") from None
        if not path or "\0" in path:
            raise RequestError(400, f"{where} names no file.", param=where, code="invalid_image_url")
        return path

    def _read(self, path: Path, where: str) -> bytes:
        """A regular file: a pipe would be waited for."""
        try:
            number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(number, "rb") as file:
                if not stat.S_ISREG(os.fstat(number).st_mode):
                    raise RequestError(400, f"{where} is no regular file.", param=where, code="invalid_image")
                data = file.read(self._most_bytes + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise RequestError(
                400, f"{where} cannot be read ({reason}).", param=where, code="invalid_image"
            ) from None
        if len(data) > self._most_bytes:
            raise RequestError(
                400,
                f"{where} has more than {self._most_bytes} bytes; send a smaller image.",
                param=where,
                code="invalid_image",
            )
        return data


def _inside(folder: Path, path: str) -> Path | None:
    """Where the path leads to, if that is in the folder."""
    try:
        found = (folder / path).resolve()
    except (OSError, ValueError, RuntimeError):  # too long, or links in a circle
        return None
    return found if found.is_relative_to(folder) else None
