"""Images too large to be decoded whole: little memory, and nearly the pixels that whole decoding gives."""

import io
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvl.runtime.errors import ImageError
from pocketvl.runtime.media import image as module
from pocketvl.runtime.media import image_samples
from pocketvl.runtime.media.image import load_image, open_image
from pocketvl.runtime.media.resize import resize_image
from tests.support.images import encoded, large_jpeg, oriented, photograph, with_jpeg_size

MEASURE = """
import sys
from pathlib import Path
from pocketvl.runtime.media.image import open_image
with open_image(sys.argv[1]) as opened:
    image = opened.read((1008, 756))
status = Path("/proc/self/status").read_text()  # ru_maxrss counts the process that started this one, too
print(*opened.size, *image.size, status.partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's own peak")
@pytest.mark.parametrize(("width", "height"), [(12000, 8992), (16320, 12240)])
def test_108_and_200_megapixels_take_less_than_400_mb(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(large_jpeg(width, height, exif=oriented(6)))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], check=True, capture_output=True, text=True
    )
    *sizes, peak = map(int, done.stdout.split())
    assert sizes == [width, height, 756, 1008]  # (height, width) upright, then the image's (width, height)
    assert peak * 1024 < 400_000_000


def reduced_and_whole(
    monkeypatch: pytest.MonkeyPatch, data: bytes, size: tuple[int, int]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    with open_image(data) as opened:
        whole = opened.read(size)
    monkeypatch.setattr(module, "WHOLE_PIXELS", 1 << 16)
    with open_image(data) as opened:
        reduced = opened.read(size)
    assert reduced.size == whole.size
    return np.asarray(reduced).astype(int), np.asarray(whole).astype(int)


JPEGS: dict[str, tuple[str, dict[str, Any]]] = {
    "baseline": ("RGB", {}),
    "all chroma": ("RGB", {"subsampling": 0}),
    "progressive": ("RGB", {"progressive": True}),
    "grey": ("L", {}),
    "CMYK": ("CMYK", {}),
    **{f"orientation {n}": ("RGB", {"exif": oriented(n)}) for n in range(2, 9)},
}


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_decoded_at_a_fraction_is_nearly_the_whole_one(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Tolerance: on average within a level of 256; 99 of 100 within 4. A mirrored one differs by 40."""
    mode, options = JPEGS[kind]
    data = encoded(photograph(1000, 760).convert(mode), "JPEG", quality=92, **options)
    reduced, whole = reduced_and_whole(monkeypatch, data, (168, 196))
    difference = np.abs(reduced - whole)
    assert difference.mean() < 1
    assert np.quantile(difference, 0.99) <= 4


def test_a_progressive_jpeg_is_reduced_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside its pixels all its coefficients are in memory."""
    image = photograph(1000, 760)
    monkeypatch.setattr(module, "WHOLE_PIXELS", 1 << 16)
    assert load_image(encoded(image, "JPEG")).size == (250, 190)
    assert load_image(encoded(image, "JPEG", progressive=True)).size == (125, 95)
    monkeypatch.setattr(module, "WHOLE_PIXELS", 760_000)
    assert load_image(encoded(image, "JPEG", progressive=True)).size == (1000, 760)


@pytest.mark.parametrize("orientation", [1, 6])
def test_another_format_is_reduced_on_white_after_decoding(
    monkeypatch: pytest.MonkeyPatch, orientation: int
) -> None:
    image = photograph(1000, 760)
    image.putalpha(photograph(1000, 760, 1).convert("L"))
    data = encoded(image, exif=oriented(orientation))
    white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    monkeypatch.setattr(module, "WHOLE_PIXELS", 1 << 16)
    monkeypatch.setattr(image_samples, "_BAND", 10_000)
    expected = white.reduce(4)  # 760 000 / 9 are still more than 65 536
    if orientation == 6:
        expected = expected.transpose(Image.Transpose.ROTATE_270)
    assert load_image(data).tobytes() == expected.tobytes()


def test_nothing_is_reduced_below_what_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE_PIXELS", 1 << 12)
    image = photograph(400, 300)
    for format in ("JPEG", "PNG"):
        data = encoded(image, format)
        expected = resize_image(Image.open(io.BytesIO(data)), (280, 392))
        with open_image(data) as opened:
            assert opened.read((280, 392)).tobytes() == expected.tobytes()


def test_up_to_2_to_the_25_pixels_nothing_is_reduced() -> None:
    assert load_image(Image.new("L", (8192, 4096))).size == (8192, 4096)
    assert load_image(Image.new("L", (8192, 4097))).size == (4096, 2049)


@pytest.mark.parametrize(
    ("options", "size", "expected"),
    [
        ({}, (65_000, 65_000), r"65000x65000 pixels \(the limit for JPEG is 268435456\)"),
        ({"progressive": True}, (16_000, 12_600), r"progressive JPEG .* takes 604800000 bytes .*baseline"),
        ({"progressive": True, "subsampling": 0}, (16_000, 6_300), "takes 604800000 bytes"),
    ],
)
def test_jpegs_over_the_limits_are_refused_by_their_header(
    options: dict[str, Any], size: tuple[int, int], expected: str
) -> None:
    data = with_jpeg_size(encoded(photograph(64, 64), "JPEG", **options), *size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ImageError, match=expected):
        load_image(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
