"""Charts, and scenes with the soft shading and grain of a photograph."""

import math
import random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tools.general_set.documents import Drawn, Size, font

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug")
SHARES = ("Rent", "Food", "Travel", "Books", "Sport", "Other")
COLOURS = ((66, 133, 190), (226, 122, 46), (80, 160, 90), (190, 60, 80), (130, 100, 180), (120, 110, 100))
SKIES = (
    ((116, 170, 224), (226, 238, 248)),
    ((36, 40, 84), (226, 130, 90)),
    ((150, 160, 172), (206, 210, 212)),
)
WALLS = ((214, 190, 160), (196, 90, 70), (232, 226, 214), (120, 140, 160))


def bars(rng: random.Random, size: Size) -> Drawn:
    image, pen, box = axes(size)
    months = MONTHS[: rng.randint(4, 8)]
    values = [rng.randint(1, 20) * 5 for _ in months]
    left, top, right, bottom = box
    label = font("DejaVuSans", max(12, size[1] // 28))
    for tick in range(0, 101, 25):
        y = bottom - (bottom - top) * tick / 100
        pen.line((left, y, right, y), fill=(210, 210, 210))
        pen.text((left - 6, y), str(tick), font=label, fill=(60, 60, 60), anchor="rm")
    pitch, colour = (right - left) / len(months), rng.choice(COLOURS)
    for place, (month, value) in enumerate(zip(months, values, strict=True)):
        x = left + (place + 0.2) * pitch
        pen.rectangle((x, bottom - (bottom - top) * value / 100, x + 0.6 * pitch, bottom), fill=colour)
        pen.text((x + 0.3 * pitch, bottom + 8), month, font=label, fill=(40, 40, 40), anchor="mt")
    which = rng.randrange(len(months))
    return image, f"What is the value for {months[which]} in the chart?", str(values[which])


def lines(rng: random.Random, size: Size) -> Drawn:
    image, pen, (left, top, right, bottom) = axes(size)
    label = font("DejaVuSans", max(12, size[1] // 28))
    names = ("North", "South")
    ends = []
    for name, colour in zip(names, rng.sample(COLOURS, 2), strict=True):
        value, points = rng.uniform(0.3, 0.7), []
        for place in range(12):
            value = min(0.97, max(0.03, value + rng.uniform(-0.16, 0.16)))
            points.append((left + (right - left) * place / 11, bottom - (bottom - top) * value))
        pen.line(points, fill=colour, width=max(2, size[0] // 180), joint="curve")
        pen.text((points[-1][0] - 4, points[-1][1] - 6), name, font=label, fill=colour, anchor="rb")
        ends.append(value)
    return image, "Which line ends higher, North or South?", names[int(ends[1] > ends[0])]


def pie(rng: random.Random, size: Size) -> Drawn:
    image = Image.new("RGB", size, (255, 255, 255))
    pen = ImageDraw.Draw(image)
    names = SHARES[: rng.randint(3, 6)]
    weights = [rng.randint(2, 12) for _ in names]
    weights[rng.randrange(len(names))] += 14
    radius, at = min(size) * 0.32, -90.0
    middle = size[0] * 0.4, size[1] * 0.5
    label = font("DejaVuSans", max(12, size[1] // 26))
    for place, (name, weight) in enumerate(zip(names, weights, strict=True)):
        turn = 360 * weight / sum(weights)
        box = (middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius)
        pen.pieslice(box, at, at + turn, fill=COLOURS[place], outline=(255, 255, 255), width=2)
        at += turn
        y = size[1] * 0.2 + place * label.size * 1.8
        pen.rectangle((size[0] * 0.78, y, size[0] * 0.78 + label.size, y + label.size), fill=COLOURS[place])
        pen.text((size[0] * 0.78 + 1.5 * label.size, y), name, font=label, fill=(30, 30, 30))
    return image, "What is the largest share in this chart?", names[weights.index(max(weights))]


def axes(size: Size) -> tuple[Image.Image, ImageDraw.ImageDraw, tuple[float, float, float, float]]:
    image = Image.new("RGB", size, (255, 255, 255))
    pen = ImageDraw.Draw(image)
    box = size[0] * 0.12, size[1] * 0.08, size[0] * 0.95, size[1] * 0.88
    pen.line((box[0], box[1], box[0], box[3], box[2], box[3]), fill=(40, 40, 40), width=2)
    return image, pen, box


def landscape(rng: random.Random, size: Size) -> Drawn:
    """Sky, hills, houses and trees; asks how many houses there are."""
    width, height = size
    image = Image.fromarray(gradient(size, *rng.choice(SKIES)))
    pen = ImageDraw.Draw(image)
    sun, radius = (rng.uniform(0.1, 0.9) * width, rng.uniform(0.08, 0.25) * height), width / 18
    pen.ellipse((sun[0] - radius, sun[1] - radius, sun[0] + radius, sun[1] + radius), fill=(255, 244, 200))
    for depth in range(3):
        base = height * (0.45 + 0.15 * depth)
        phase, swing = rng.uniform(0, 6.3), rng.uniform(0.03, 0.08) * height
        green = (90 - 18 * depth, 130 - 16 * depth, 90 - 24 * depth)
        ridge = [(x, base + swing * math.sin(phase + 7 * x / width)) for x in range(0, width + 8, 8)]
        pen.polygon([*ridge, (width, height), (0, height)], fill=green)
    for _ in range(rng.randint(4, 9)):
        tree(
            rng, pen, rng.uniform(0, width), rng.uniform(0.6, 0.95) * height, height * rng.uniform(0.04, 0.09)
        )
    count = rng.randint(1, 5)
    for place in range(count):
        house(rng, pen, width * (place + 0.5) / count, height * rng.uniform(0.72, 0.86), width / 14)
    answer = f"There {'is one house' if count == 1 else f'are {count} houses'}."
    return photographed(rng, image), "How many houses are in the picture?", answer


def house(rng: random.Random, pen: ImageDraw.ImageDraw, x: float, y: float, side: float) -> None:
    pen.rectangle((x - side / 2, y - side * 0.8, x + side / 2, y), fill=rng.choice(WALLS))
    pen.polygon(
        [(x - side * 0.6, y - side * 0.8), (x, y - side * 1.35), (x + side * 0.6, y - side * 0.8)],
        fill=(110, 56, 44),
    )
    pen.rectangle((x - side * 0.1, y - side * 0.4, x + side * 0.12, y), fill=(70, 50, 40))
    pen.rectangle((x - side * 0.38, y - side * 0.62, x - side * 0.18, y - side * 0.42), fill=(250, 236, 170))


def tree(rng: random.Random, pen: ImageDraw.ImageDraw, x: float, y: float, side: float) -> None:
    pen.rectangle((x - side * 0.1, y - side, x + side * 0.1, y), fill=(80, 58, 40))
    green = (30 + rng.randint(0, 40), 84 + rng.randint(0, 40), 40)
    pen.ellipse((x - side * 0.6, y - side * 2, x + side * 0.6, y - side * 0.7), fill=green)


def still_life(rng: random.Random, size: Size) -> Drawn:
    """Balls of different colours with light and shadow on a table; asks for the largest one's colour."""
    width, height = size
    image = Image.fromarray(gradient(size, (206, 196, 182), (146, 122, 98)))
    names = {"red": (196, 50, 46), "green": (60, 140, 70), "blue": (56, 90, 180), "yellow": (230, 196, 60)}
    chosen = rng.sample(sorted(names), rng.randint(2, 4))
    radii = [min(size) * share for share in rng.sample((0.07, 0.1, 0.13, 0.17), len(chosen))]
    for place, (name, radius) in enumerate(zip(chosen, radii, strict=True)):
        x, y = width * (place + 0.5) / len(chosen), height * rng.uniform(0.4, 0.75)
        ball(image, (x, y), radius, names[name])
    largest = chosen[radii.index(max(radii))]
    return photographed(rng, image), "What colour is the largest ball?", largest.capitalize() + "."


def ball(image: Image.Image, at: tuple[float, float], radius: float, colour: tuple[int, int, int]) -> None:
    """Lit from the upper left (Lambert), on a soft shadow."""
    shadow = Image.new("L", image.size)
    box = (at[0] - radius * 0.8, at[1] + radius * 0.6, at[0] + radius * 1.5, at[1] + radius * 1.2)
    ImageDraw.Draw(shadow).ellipse(box, fill=130)
    image.paste((30, 24, 20), mask=shadow.filter(ImageFilter.GaussianBlur(radius / 5)))
    y, x = np.mgrid[-1 : 1 : 2 / (2 * radius), -1 : 1 : 2 / (2 * radius)]
    depth = np.sqrt(np.clip(1 - x**2 - y**2, 0, 1))
    light = np.clip(-0.5 * x - 0.6 * y + 0.62 * depth, 0, 1)[..., None]
    pixels = np.clip(np.array(colour) * (0.3 + 0.8 * light) + 190 * light**12, 0, 255).astype(np.uint8)
    mask = Image.fromarray(np.where(x**2 + y**2 < 1, 255, 0).astype(np.uint8))
    image.paste(Image.fromarray(pixels), (round(at[0] - radius), round(at[1] - radius)), mask)


def gradient(size: Size, top: tuple[int, int, int], bottom: tuple[int, int, int]) -> np.ndarray:
    share = np.linspace(0, 1, size[1])[:, None, None]
    rows = np.array(top) * (1 - share) + np.array(bottom) * share
    return np.broadcast_to(rows, (size[1], size[0], 3)).astype(np.uint8)


def photographed(rng: random.Random, image: Image.Image) -> Image.Image:
    """A little out of focus, with grain and darker corners."""
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(rng.uniform(0.6, 1.4))), np.float64)
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(2, 5), blurred.shape)
    y, x = np.mgrid[-1 : 1 : image.height * 1j, -1 : 1 : image.width * 1j]
    shade = 1 - 0.18 * (x**2 + y**2)
    return Image.fromarray(np.clip(blurred * shade[..., None] + noise, 0, 255).astype(np.uint8))
