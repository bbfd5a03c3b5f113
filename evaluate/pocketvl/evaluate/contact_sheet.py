"""One image of all the images that were asked about, with questions and answers below them."""

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from pocketvl.export.tiny import parse_box

_CELL = 260  # pixels of a cell's width
_IMAGE = 200  # an image's longer side
_CAPTION = 84
_COLUMNS = 4


def contact_sheet(cells: Sequence[tuple[Sequence[Image.Image], str, str, bool]]) -> Image.Image:
    """Cells of (images, question, answer, right?); an answer that is a box is drawn into its image."""
    rows = -(-len(cells) // _COLUMNS)
    height = _IMAGE + _CAPTION
    sheet = Image.new("RGB", (_COLUMNS * _CELL, rows * height), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (images, question, answer, right) in enumerate(cells):
        left, top = index % _COLUMNS * _CELL, index // _COLUMNS * height
        _paste(sheet, [_marked(image, answer) for image in images], left, top)
        lines = textwrap.wrap(question, 40)[:2]
        draw.text((left + 10, top + _IMAGE), "\n".join(lines), "black", ImageFont.load_default(12))
        colour = "darkgreen" if right else "firebrick"
        draw.text((left + 10, top + _IMAGE + 36), answer, colour, ImageFont.load_default(16))
    return sheet


def _marked(image: Image.Image, answer: str) -> Image.Image:
    """Enlarged for the eye, with the box of the answer in it."""
    scale = max(1, _IMAGE // max(image.size))
    large = image.convert("RGB").resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    box = parse_box(answer)
    if box is not None:
        sides = (large.width, large.height, large.width, large.height)
        corners = [value * side / 1000 for value, side in zip(box, sides, strict=True)]
        ImageDraw.Draw(large).rectangle(corners, outline="magenta", width=3)
    return large


def _paste(sheet: Image.Image, images: Sequence[Image.Image], left: int, top: int) -> None:
    room = (_CELL - 20) // len(images)
    for index, image in enumerate(images):
        fitted = image.copy()
        fitted.thumbnail((room - 4, _IMAGE - 14))
        sheet.paste(fitted, (left + 10 + index * room, top + 8))
