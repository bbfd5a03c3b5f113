"""Pages of text, tables, receipts and screens, drawn with the fonts that come with matplotlib."""

import random
from functools import cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

Drawn = tuple[Image.Image, str, str]  # the image, what is asked about it, the answer
Size = tuple[int, int]
FACES = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono")
INKS = ((20, 20, 24), (30, 34, 70), (60, 40, 30))
PAPERS = ((255, 255, 255), (250, 246, 236), (240, 242, 246), (236, 232, 224))
GOODS = (
    ("Oat milk", 189),
    ("Rye bread", 345),
    ("Tomatoes", 260),
    ("Batteries AA", 599),
    ("Olive oil", 849),
    ("Apples", 312),
    ("Soap", 135),
    ("Pencils", 220),
    ("Coffee", 675),
    ("Rice", 199),
)
CITIES = ("Bergen", "Porto", "Gdansk", "Lyon", "Graz", "Malmo", "Turin", "Ghent", "Split", "Cork")
SETTINGS = ("Wi-Fi", "Bluetooth", "Dark mode", "Location", "Backup", "Notifications", "Night light", "Sync")


@cache
def font(face: str, size: int) -> ImageFont.FreeTypeFont:
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(folder / f"{face}.ttf", size)


def wrapped(text: str, face: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Lines no wider than `width` pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if face.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def page(rng: random.Random, size: Size, paragraphs: list[str]) -> Drawn:
    """As many whole lines as fit; the first line that is asked for is read in full."""
    image = Image.new("RGB", size, rng.choice(PAPERS))
    pen = ImageDraw.Draw(image)
    body = font(rng.choice(FACES), rng.randint(15, 24))
    ink, margin = rng.choice(INKS), size[0] // 14
    step = round(1.4 * body.size)
    y, shown = margin, []
    for paragraph in paragraphs:
        for line in wrapped(paragraph, body, size[0] - 2 * margin):
            if y + step > size[1] - margin:
                break
            pen.text((margin, y), line, font=body, fill=ink)
            shown.append(line)
            y += step
        y += step // 2
    which = rng.choice((0, len(shown) // 2, len(shown) - 1))
    asked = {0: "the first line", len(shown) - 1: "the last line"}.get(which, f"line {which + 1}")
    if rng.random() < 0.5:
        return image, "What does the page say? Copy it.", "\n".join(shown)
    return image, f"Read {asked} of the page.", shown[which]


def receipt(rng: random.Random, size: Size) -> Drawn:
    """Prices in cents underneath; asks for the total, which is the sum of the lines."""
    image = Image.new("RGB", size, (252, 252, 250))
    pen = ImageDraw.Draw(image)
    lines = rng.sample(GOODS, rng.randint(4, 7))
    face = font("DejaVuSansMono", max(13, size[1] // 26))
    left, right, y = size[0] // 10, size[0] * 9 // 10, size[1] // 12
    pen.text((size[0] / 2, y), "CORNER STORE", font=face, fill=(0, 0, 0), anchor="mt")
    y += 3 * face.size
    total = 0
    for name, cents in lines:
        count = rng.randint(1, 3)
        total += count * cents
        pen.text((left, y), f"{count} x {name}", font=face, fill=(10, 10, 10))
        pen.text((right, y), money(count * cents), font=face, fill=(10, 10, 10), anchor="ra")
        y += round(1.6 * face.size)
    pen.line((left, y, right, y), fill=(0, 0, 0), width=2)
    pen.text((left, y + face.size), "TOTAL", font=face, fill=(0, 0, 0))
    pen.text((right, y + face.size), money(total), font=face, fill=(0, 0, 0), anchor="ra")
    return image, "What is the total on this receipt?", money(total)


def money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def table(rng: random.Random, size: Size) -> Drawn:
    """Cities and numbers; asks for one cell or for the row of the largest number."""
    image = Image.new("RGB", size, (255, 255, 255))
    pen = ImageDraw.Draw(image)
    years = list(range(2019, 2019 + rng.randint(3, 4)))
    cities = rng.sample(CITIES, rng.randint(4, 7))
    values = [[rng.randint(80, 990) for _ in years] for _ in cities]
    rows, columns = len(cities) + 1, len(years) + 1
    high, wide = size[1] / rows, size[0] / columns
    face = font("DejaVuSans", round(min(high * 0.42, wide * 0.2)))
    pen.rectangle((0, 0, size[0], high), fill=rng.choice(((214, 226, 240), (226, 236, 214), (238, 226, 214))))
    for row, cells in enumerate([["City", *map(str, years)], *values]):
        named = cells if row == 0 else [cities[row - 1], *map(str, cells)]
        for column, cell in enumerate(named):
            at = ((column + 0.5) * wide, (row + 0.5) * high)
            pen.text(at, str(cell), font=face, fill=(20, 20, 20), anchor="mm")
        pen.line((0, row * high, size[0], row * high), fill=(150, 150, 150))
    city, year = rng.randrange(len(cities)), rng.randrange(len(years))
    if rng.random() < 0.5:
        return image, f"What is the value for {cities[city]} in {years[year]}?", str(values[city][year])
    best = max(range(len(cities)), key=lambda index: values[index][year])
    return image, f"Which city has the highest value in {years[year]}?", cities[best]


def screen(rng: random.Random, size: Size) -> Drawn:
    """A list of switches; asks which are on."""
    dark = rng.random() < 0.5
    paper, ink = ((28, 29, 34), (236, 236, 240)) if dark else ((246, 246, 248), (24, 24, 28))
    image = Image.new("RGB", size, paper)
    pen = ImageDraw.Draw(image)
    labels = rng.sample(SETTINGS, rng.randint(5, 7))
    high = size[1] / (len(labels) + 1)
    face = font("DejaVuSans", round(high * 0.34))
    pen.text(
        (size[0] * 0.06, high / 2),
        "Settings",
        font=font("DejaVuSans", round(high * 0.5)),
        fill=ink,
        anchor="lm",
    )
    on = [label for label in labels if rng.random() < 0.5]
    for row, label in enumerate(labels, 1):
        middle = (row + 0.5) * high
        pen.text((size[0] * 0.06, middle), label, font=face, fill=ink, anchor="lm")
        left, radius = size[0] * 0.82, high * 0.2
        fill = (52, 168, 96) if label in on else (150, 150, 156)
        pen.rounded_rectangle((left, middle - radius, left + 4 * radius, middle + radius), radius, fill=fill)
        knob = left + (3 if label in on else 1) * radius
        pen.ellipse((knob - radius, middle - radius, knob + radius, middle + radius), fill=(255, 255, 255))
        pen.line((0, row * high, size[0], row * high), fill=(128, 128, 134))
    return image, "Which settings are switched on?", ", ".join(on) if on else "None of them."
