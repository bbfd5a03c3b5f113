"""Videos made by PyAV: every frame says which one it is, by its brightness."""

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

STEP = 7  # levels of grey from one frame to the next
WIDTH, HEIGHT = 96, 64


def grey_frame(number: int, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Grey by its number, with a bright upper left quarter, so that a turned one can be told."""
    pixels = np.full((height, width, 3), 16 + number * STEP % 180, np.uint8)
    pixels[: height // 4, : width // 4] = 235
    return Image.fromarray(pixels)


def number_of(image: Image.Image) -> int:
    """Of a grey_frame that was encoded and decoded, below 25, upright or not: told by its centre."""
    value = float(np.asarray(image.convert("L"))[image.height // 2, image.width // 2])
    return round((value - 16) / STEP)


def bright_corner(image: Image.Image) -> str:
    """Where the bright quarter is."""
    grey = np.asarray(image.convert("L")).astype(int)
    rows, columns = np.nonzero(grey > 215)
    vertical = "upper" if rows.mean() < image.height / 2 else "lower"
    return f"{vertical} {'left' if columns.mean() < image.width / 2 else 'right'}"


def write_video(
    target: Path | io.BytesIO,
    frames: int,
    *,
    codec: str = "libx264",
    rate: int = 10,
    format: str | None = None,
    pts: Sequence[int] | None = None,
    width: int = WIDTH,
    height: int = HEIGHT,
    gop: int = 8,
    rotation: float | None = None,
    options: dict[str, str] | None = None,
    pixel_format: str = "yuv420p",
    sound: bool = False,
) -> Path:
    """`frames` grey frames; pts: of each frame in units of 1/rate s, its number unless given."""
    place: Any = str(target) if isinstance(target, Path) else target
    with av.open(place, "w", format=format) as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.gop_size = gop
        if codec == "mpeg4":
            stream.bit_rate = 2_000_000  # its frames between others would repeat those
        if rotation is not None:
            stream.set_display_rotation(rotation)
        tone: Any = container.add_stream("aac", rate=8000) if sound else None
        for number in range(frames):
            frame = av.VideoFrame.from_image(grey_frame(number, width, height))
            frame.pts = number if pts is None else pts[number]
            frame.time_base = Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if tone is not None:
            container.mux(_sound(tone))
    return target if isinstance(target, Path) else Path()


def write_sound(path: Path) -> Path:
    """A file with sound alone."""
    with av.open(str(path), "w") as container:
        container.mux(_sound(container.add_stream("aac", rate=8000)))
    return path


def _sound(stream: Any) -> list[Any]:
    packets = []
    for number in range(4):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate, frame.pts = 8000, number * 1024
        packets += stream.encode(frame)
    return [*packets, *stream.encode(None)]
