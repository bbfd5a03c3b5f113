"""Everything that may be given as an image gives the same one, and the rest is refused in a sentence."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvl.runtime.errors import ImageError
from pocketvl.runtime.media.image import content_key, load_image
from tests.support.images import encoded
from tests.support.odd_files import ODD, odd_file


def noise(width: int = 12, height: int = 7) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def at_its_end(data: bytes) -> io.BytesIO:
    buffer = io.BytesIO()
    buffer.write(data)
    return buffer


DATA = encoded(noise())
DATA += bytes((1 - len(DATA)) % 3)  # so that base64 is padded
TEXT = base64.b64encode(DATA).decode()
SAFE = base64.urlsafe_b64encode(DATA).decode()
LINES = "\n".join(TEXT[i : i + 60] for i in range(0, len(TEXT), 60))
SOURCES: dict[str, Any] = {
    "bytes": DATA,
    "bytearray": bytearray(DATA),
    "memoryview": memoryview(DATA),
    "BytesIO": io.BytesIO(DATA),
    "BytesIO after writing": at_its_end(DATA),
    "image": noise(),
    "lazy image": Image.open(io.BytesIO(DATA)),
    "array": np.asarray(noise()),
    "array from the right": np.asarray(noise())[:, ::-1][:, ::-1],
    "base64": TEXT,
    "data URL": f"data:image/png;base64,{TEXT}",
    "DATA URL": f"DATA:image/png;charset=x;BASE64,{TEXT}",
    "data URL in lines": f"data:image/png;base64,{LINES}",
    "URL-safe": f"data:image/png;base64,{SAFE}",
    "unpadded": f"data:image/png;base64,{SAFE.rstrip('=')}",
    "percent-encoded": f"data:image/png;base64,{TEXT.replace('+', '%2B').replace('/', '%2F')}",
}
assert TEXT.endswith("==")
assert {*"+/"} <= {*TEXT}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_of_source_gives_the_same_image(kind: str) -> None:
    loaded = load_image(SOURCES[kind])
    assert type(loaded) is Image.Image
    assert content_key(loaded) == content_key(noise())


@pytest.mark.parametrize("name", ["a b.png", "a#1.png", "a?b=c.png", "100%25.png", "ü.png"])
def test_every_way_to_name_a_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(DATA)
    raw = str(path).replace("%", "%25")
    names = [path, str(path), path.as_uri(), f"file://{raw}", f"file:{raw}", f"FILE://LocalHost{raw}"]
    for source in names:
        assert content_key(load_image(source)) == content_key(noise())
    with path.open("rb") as file:
        assert content_key(load_image(file)) == content_key(noise())


def test_a_path_that_looks_like_base64_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "UklGR").write_bytes(DATA)
    assert load_image("UklGR").size == (12, 7)


@pytest.mark.parametrize(
    "source",
    ["http://example.org/a.jpg", "HTTPS://example.org/a.jpg", Path("https://example.org/a.jpg")],
)
def test_network_addresses_are_never_opened(source: str | Path) -> None:
    with pytest.raises(ImageError, match=r"example\.org/a\.jpg is a network address.*download.*its file"):
        load_image(source)


@pytest.mark.parametrize("kind", ODD)
def test_files_without_end_are_refused(tmp_path: Path, kind: str) -> None:
    path = odd_file(tmp_path, kind, "a.png")
    for source in (path, str(path), path.as_uri()):
        with pytest.raises(ImageError, match=ODD[kind]):
            load_image(source)


class Endless(io.RawIOBase):
    def readinto(self, buffer: Any) -> int:
        return len(buffer)

    def readable(self) -> bool:
        return True


def closed() -> io.BytesIO:
    file = io.BytesIO(DATA)
    file.close()
    return file


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("s3://bucket/a.png", "has the scheme s3, of which pocketvl reads none"),
        ("file://server/a.png", "names a file on 'server', another computer"),
        ("file:", "names no file"),
        ("data:image/png,hello", "does not hold base64"),
        ("data:image/png;base64,iVBOR*", "damaged .* encode the whole image again"),
        ("data:image/png;base64,iVBOR", "damaged"),
        ("data:image/png;base64,", "data: URL is empty"),
        ("a\0b.jpg", "cannot be read"),
        ("file:///a%00b.jpg", "cannot be read"),
        ("x" * 5000, "cannot be read"),
        ("", "is a folder"),
        (3, "cannot be a int"),
        (None, "cannot be a NoneType"),
        ([DATA], "cannot be a list"),
        (io.StringIO("text"), "not opened in binary mode"),
        (closed(), "given file cannot be read .*closed"),
        (io.BytesIO(), "given file is empty"),
        (b"", "given data is empty"),
        (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\) is no image; give \(height, width\)"),
        (np.zeros(8, np.uint8), r"shape \(8,\) is no image"),
        (np.zeros((8, 8, 1), np.uint8), r"shape \(8, 8, 1\) is no image"),
        (np.zeros((0, 8, 3), np.uint8), "8x0 pixels"),
        (np.zeros((8, 8), np.int64), "array of int64 is no image; give uint8"),
        (np.zeros((8, 8), bool), "array of bool is no image"),
        (np.full((8, 8), 255.0), "floating-point samples from 255 to 255; scale them to 0..1"),
        (np.full((8, 8), np.nan), "floating-point samples from nan"),
        (np.full((8, 8), -0.1), "floating-point samples from -0.1"),
    ],
)
def test_what_is_no_source_is_refused_in_a_sentence(source: Any, expected: str) -> None:
    with pytest.raises(ImageError, match=expected) as raised:
        load_image(source)
    assert len(str(raised.value)) < 330


def test_a_stream_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketvl.runtime.media.image_source.MOST_BYTES", 1000)
    with pytest.raises(ImageError, match="given file has more bytes than the limit of 1000"):
        load_image(Endless())


def test_what_the_caller_changes_later_does_not_change_the_image() -> None:
    data, array, image = bytearray(DATA), np.array(noise()), noise()
    loaded = [load_image(source) for source in (data, array, image)]
    data[:] = bytes(len(data))
    array[:] = 0
    image.paste((0, 0, 0), (0, 0, 12, 7))
    assert [content_key(one) for one in loaded] == [content_key(noise())] * 3


def test_a_given_image_stays_as_it_is() -> None:
    image = Image.open(io.BytesIO(encoded(noise(), "JPEG")))
    load_image(image)
    assert (image.mode, image.size, image.format) == ("RGB", (12, 7), "JPEG")


def test_content_key_tells_pixels_and_shapes_apart() -> None:
    wide, tall = Image.new("RGB", (4, 2), "red"), Image.new("RGB", (2, 4), "red")
    touched = wide.copy()
    touched.putpixel((3, 1), (255, 0, 1))
    keys = {content_key(image) for image in (wide, tall, touched)}
    assert len(keys) == 3
    assert content_key(wide.copy()) == content_key(wide)
