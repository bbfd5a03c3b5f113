"""Images as files: noise, encoded ones, smooth ones with detail, JPEGs of any size made in little memory."""

import io
import struct
from typing import Any

import numpy as np
from PIL import Image

_ROW = 16  # pixels of the highest block


def encoded(image: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """Noise at several scales, the coarser the stronger, as in photographs."""
    random = np.random.default_rng(seed)
    total = np.full((height, width, 3), 128.0)
    for scale in (64, 16, 4, 1):
        shape = (-(-height // scale), -(-width // scale))
        for channel in range(3):
            noise = Image.fromarray(random.normal(0, 5 * scale**0.5, shape).astype(np.float32))
            total[..., channel] += np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC))
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))


def large_jpeg(width: int, height: int, **options: Any) -> bytes:
    """A baseline JPEG that repeats one row of blocks after restart markers, so that it is quick to make."""
    data = encoded(photograph(width, _ROW), "JPEG", quality=90, restart_marker_rows=1, **options)
    frame = data.index(b"\xff\xc0")
    scan = data.index(b"\xff\xda", frame)
    begin = scan + 2 + int(struct.unpack(">H", data[scan + 2 : scan + 4])[0])
    blocks, rows = data[begin:-2], height // _ROW
    head = with_jpeg_size(data[:begin], width, rows * _ROW)
    marks = [bytes([0xFF, 0xD0 + row % 8]) for row in range(rows - 1)]
    return head + b"".join(blocks + mark for mark in marks) + blocks + b"\xff\xd9"


def with_jpeg_size(data: bytes, width: int, height: int) -> bytes:
    """The JPEG with another size in its frame header, baseline or progressive."""
    frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    return data[: frame + 5] + struct.pack(">HH", height, width) + data[frame + 9 :]


def random_image(width: int, height: int, seed: int = 0) -> Image.Image:
    """RGB noise, the same for the same arguments."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)
