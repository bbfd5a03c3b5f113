"""Whatever a user names is a regular file of bounded size, or refused before it is read."""

import socket
from pathlib import Path

import pytest

from pocketvl.runtime.errors import PocketVLError, UsageError
from pocketvl.runtime.files import read_bytes, read_lines, read_text, regular_size
from tests.support.odd_files import ODD, odd_file

READERS = {
    "size": lambda path: regular_size(path, UsageError, 1 << 20),
    "bytes": lambda path: read_bytes(path, UsageError, 1 << 20),
    "text": lambda path: read_text(path, UsageError),
    "lines": lambda path: list(read_lines(path, UsageError)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ODD)
def test_what_would_not_end_is_refused(tmp_path: Path, kind: str, reader: str) -> None:
    path = odd_file(tmp_path, kind, "named.txt")
    with pytest.raises(UsageError, match=ODD[kind]) as raised:
        READERS[reader](path)
    assert str(path) in str(raised.value)


def test_other_things_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing does not exist; check the path"):
        regular_size(tmp_path / "nothing", UsageError)
    with pytest.raises(UsageError, match="is a folder; give the path of one file"):
        regular_size(tmp_path, UsageError)
    with pytest.raises(UsageError, match=r"cannot be read .*null"):
        regular_size(Path("a\0b"), UsageError)
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(UsageError, match="circle cannot be read"):
        regular_size(tmp_path / "circle", UsageError)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "s"))
        with pytest.raises(UsageError, match="is a socket, not a regular file"):
            regular_size(tmp_path / "s", UsageError)


def test_the_limit_itself_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "ten"
    path.write_bytes(b"0123456789")
    assert read_bytes(path, PocketVLError, 10) == b"0123456789"
    with pytest.raises(PocketVLError, match="ten has 10 bytes, more than the limit of 9; give a smaller"):
        read_bytes(path, PocketVLError, 9)


def test_lines_are_bounded_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"abc\n\r\nde")
    assert list(read_lines(path, UsageError, 4)) == [b"abc\n", b"\r\n", b"de"]
    path.write_bytes(b"abc\n\nabcd\n")
    with pytest.raises(UsageError, match="lines, line 3 has more bytes than the limit of 4 a line"):
        list(read_lines(path, UsageError, 4))


def test_text_is_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin"
    path.write_bytes("café".encode("latin-1"))
    with pytest.raises(UsageError, match=r"latin is not UTF-8 .* at byte 3"):
        read_text(path, UsageError)
