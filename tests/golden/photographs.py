"""Encoded images of every kind, what their headers say, and the patches that they become.

`python -m tests.golden.photographs FOLDER` writes the full set, too large to be kept: files, the pixels that
a decoder delivers, and index.json. The golden file has the same kinds at the size of stamps.
"""

import base64
import hashlib
import itertools
import json
import struct
import sys
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from tests.golden.images import LOW, own_size
from tests.golden.written import Json

FACTOR = 28
STAMPS, PHOTOGRAPHS = 64 * 784, 1024 * 784  # most pixels of the resized image
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip


def image_files() -> Json:
    cases = []
    for name, data in kinds(24, 18):
        case, pixels = described(name, data, STAMPS)
        packed = base64.b64encode(pixels).decode()
        cases.append(case | {"file_base64": base64.b64encode(data).decode(), "pixels_base64": packed})
    about = (
        "file: encoded. stored: [height, width] as decoded, turned upright by orientation (of EXIF)."
        " pixels: as a decoder delivers them, rows of RGB, or of RGBA to be put on white. size:"
        " [height, width] after resizing. key: sha256 of 'RGB width height ' and the resized pixels."
        " patches_sha256: of float32, little-endian."
    )
    return {"about": about, "min_pixels": LOW, "max_pixels": STAMPS, "cases": cases}


def described(name: str, data: bytes, most: int) -> tuple[Json, bytes]:
    """What is expected of an encoded image, and the pixels before they are turned."""
    with Image.open(BytesIO(data)) as opened:
        image, format = opened, opened.format
        image.load()
        turn = image.getexif().get(0x0112, 1) if format != "AVIF" else 1
        pixels, rgb = delivered(image)
    upright = rgb.transpose(UPRIGHT[turn]) if turn in UPRIGHT else rgb
    height, width = own_size(upright.height, upright.width, FACTOR, LOW, most)
    resized = upright.resize((width, height), Image.Resampling.BICUBIC)
    key = hashlib.sha256(f"RGB {width} {height} ".encode() + resized.tobytes()).hexdigest()
    rows = Qwen2VLImageProcessorPil(do_resize=False)(images=[resized], return_tensors="np")["pixel_values"]
    case = {
        "name": name, "format": format, "stored": [image.height, image.width],
        "orientation": turn if turn in UPRIGHT else 1,
        "channels": len(pixels) // (image.width * image.height),
        "size": [height, width], "key": key,
        "patches_sha256": hashlib.sha256(rows.astype("<f4").tobytes()).hexdigest(),
    }  # fmt: skip
    return case, pixels


def delivered(image: Image.Image) -> tuple[bytes, Image.Image]:
    """RGB or RGBA bytes, and the image on white."""
    if image.mode.startswith("I;16"):
        samples = np.asarray(image)
        depth = next(bits for bits in (8, 10, 12, 14, 16) if samples.max() < 1 << bits)
        rgb = Image.fromarray((samples >> (depth - 8)).astype(np.uint8)).convert("RGB")
        return rgb.tobytes(), rgb
    if not image.has_transparency_data:
        rgb = image.convert("RGB")
        return rgb.tobytes(), rgb
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return rgba.tobytes(), Image.alpha_composite(white, rgba).convert("RGB")


def photograph(width: int, height: int, channels: int = 3, seed: int = 0) -> np.ndarray[Any, Any]:
    """(height, width, channels) uint8: smooth areas, edges and noise."""
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    random = np.random.default_rng(seed)
    layers = []
    for channel in range(channels):
        waves = 120 + 80 * np.sin(7 * x + 3 * y * (channel + 1)) + 40 * (np.hypot(x - 0.6, y - 0.4) < 0.2)
        layers.append(waves + random.normal(0, 6, (height, width)))
    return np.clip(np.stack(layers, axis=-1), 0, 255).astype(np.uint8)


def kinds(width: int, height: int) -> Iterator[tuple[str, bytes]]:
    """Forty encoded images; most have these sides."""
    rgb = Image.fromarray(photograph(width, height))
    rgba = Image.fromarray(photograph(width, height, 4))
    grey = rgb.convert("L")
    for turn in range(1, 9):
        yield f"JPEG, orientation {turn}", saved(rgb, "JPEG", exif=exif(turn))
    plain = saved(rgb, "JPEG")
    yield "JPEG without EXIF", plain
    yield "JPEG, EXIF of the other byte order", with_segments(plain, b"Exif\0\0" + exif(6, ">")[6:])
    yield (
        "JPEG, EXIF after another APP1 and a comment",
        with_segments(
            plain, b"http://ns.adobe.com/other/\0" + b"x" * 300, (0xFE, b"words"), b"Exif\0\0" + exif(8)[6:]
        ),
    )
    yield (
        "JPEG, orientation in XMP",
        with_segments(plain, b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="3"/>'),
    )
    yield "JPEG, orientation out of range", saved(rgb, "JPEG", exif=exif(9))
    yield "JPEG, damaged EXIF", with_segments(plain, b"Exif\0\0II*\0\xff\xff\xff\x7f")
    yield "JPEG, progressive", saved(rgb, "JPEG", exif=exif(5), progressive=True)
    yield "JPEG, grey", saved(grey, "JPEG")
    yield "JPEG, CMYK", saved(rgb.convert("CMYK"), "JPEG")
    yield "PNG", saved(rgb, "PNG")
    yield "PNG, transparent", saved(rgba, "PNG")
    yield "PNG, grey and transparent", saved(rgba.convert("LA"), "PNG")
    yield "PNG, palette", saved(rgb.quantize(64), "PNG")
    yield "PNG, palette with a transparent colour", saved(rgb.quantize(16), "PNG", transparency=3)
    yield "PNG, black and white", saved(rgb.convert("1"), "PNG")
    yield "PNG, one colour transparent", saved(rgb, "PNG", transparency=rgb.getpixel((0, 0)))
    yield "PNG, grey of 12 in 16 bits", saved(wide(grey, 4), "PNG")
    yield "PNG, grey of 16 bits", saved(wide(grey, 8), "PNG")
    yield "PNG, colour of 16 bits", png16(photograph(width, height))
    yield "PNG, EXIF", saved(rgb, "PNG", exif=exif(7))
    yield "PNG, EXIF after the pixels", exif_last(saved(rgb, "PNG"), exif(6)[6:])
    yield "WebP, lossy", saved(rgb, "WEBP")
    yield "WebP, lossless", saved(rgb, "WEBP", lossless=True)
    yield "WebP, transparent", saved(rgba, "WEBP", lossless=True)
    yield "WebP, EXIF", saved(rgb, "WEBP", exif=exif(8))
    yield "GIF", saved(rgb.quantize(32), "GIF")
    yield "GIF with a transparent colour", saved(rgb.quantize(32), "GIF", transparency=1)
    yield "BMP", saved(rgb, "BMP")
    yield "BMP, palette", saved(rgb.quantize(256), "BMP")
    yield "AVIF", saved(rgb, "AVIF")
    yield "one pixel", saved(Image.new("RGB", (1, 1), (200, 30, 90)), "PNG")
    yield "panorama", saved(Image.fromarray(photograph(10 * width, height // 3)), "PNG")
    yield "tower", saved(Image.fromarray(photograph(width // 3, 10 * height)), "JPEG", exif=exif(6))


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def exif(turn: int, order: str = "<") -> bytes:
    """With the orientation as its second entry."""
    start = b"II*\0" if order == "<" else b"MM\0*"
    width = struct.pack(f"{order}HHII", 0x0100, 4, 1, 77)
    orientation = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, turn, 0)
    directory = struct.pack(f"{order}IH", 8, 2) + width + orientation + struct.pack(f"{order}I", 0)
    return b"Exif\0\0" + start + directory


def with_segments(jpeg: bytes, *segments: bytes | tuple[int, bytes]) -> bytes:
    """APP1, or another marker's, at its beginning."""
    inserted = b""
    for segment in segments:
        marker, data = segment if isinstance(segment, tuple) else (0xE1, segment)
        inserted += bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data
    return jpeg[:2] + inserted + jpeg[2:]


def wide(grey: Image.Image, bits: int) -> Image.Image:
    """Grey of 16 bits in a sample, of which 8 + bits are used, none of the upper ones lost."""
    samples = (np.asarray(grey, np.uint16) << bits) | (np.asarray(grey, np.uint16) >> (8 - bits))
    return Image.fromarray(samples)


def png16(pixels: np.ndarray[Any, Any]) -> bytes:
    """RGB of 16 bits, which Pillow does not write."""
    height, width, _ = pixels.shape
    rows = (pixels.astype(np.uint16) * 257 - (pixels > 9)).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def exif_last(png: bytes, data: bytes) -> bytes:
    return png[:-12] + chunk(b"eXIf", data) + png[-12:]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write_full_set(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cases: list[Json] = []
    large = saved(Image.fromarray(photograph(4000, 3000)), "JPEG", exif=exif(6))
    for name, data in itertools.chain(kinds(1203, 902), [("12 megapixels", large)]):
        case, pixels = described(name, data, PHOTOGRAPHS)
        (folder / f"{len(cases)}.image").write_bytes(data)
        (folder / f"{len(cases)}.pixels").write_bytes(pixels)
        cases.append(case)
    index = {"min_pixels": LOW, "max_pixels": PHOTOGRAPHS, "cases": cases}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


if __name__ == "__main__":
    write_full_set(Path(sys.argv[1]))
