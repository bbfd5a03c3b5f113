"""Small images that stand inside the page itself."""

import base64
import io
from collections.abc import Sequence

from PIL import Image, ImageDraw

from pocketvl.export.tiny import parse_box

_SIDE = 168  # pixels of the longer side
_JPEG_QUALITY = 82


def thumbnail(image: Image.Image, boxes: Sequence[tuple[str, str]] = ()) -> str:
    """A data: URL of the image; of each (answer, colour), a box that the answer names is drawn."""
    scale = _SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(small)
    for answer, colour in boxes:
        box = parse_box(answer)
        if box is not None:
            sides = (small.width, small.height) * 2
            corners = [value * side / 1000 for value, side in zip(box, sides, strict=True)]
            draw.rectangle(corners, outline=colour, width=2)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return data_url("image/jpeg", buffer.getvalue())


def data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
