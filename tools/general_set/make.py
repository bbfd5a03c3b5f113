"""Make the general calibration set that pocketvl ships.

    python -m tools.general_set.make [FOLDER]

Writes samples.jsonl and its images into export/pocketvl/export/calibration/general, unless a folder is given:
texts in nine languages and of code, chat turns and calls of tools (texts/, written for this purpose), and
drawn pages, tables, charts, screens and scenes with questions that their drawing answers. All of it is under
the project's licence. The same versions of Pillow and matplotlib give the same bytes.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tools.general_set import documents, pictures
from tools.general_set.documents import Drawn, Size

TEXTS = Path(__file__).parent / "texts"
SHIPPED = Path(__file__).resolve().parents[2] / "export/pocketvl/export/calibration/general"
LANGUAGES = ("english", "german", "french", "spanish", "chinese", "japanese", "arabic", "hindi", "russian")
DRAWN = ("english", "german", "french", "spanish", "russian")  # that DejaVu writes without shaping
SIZES = ((448, 448), (560, 420), (420, 560), (616, 448), (336, 336), (672, 504), (504, 672), (280, 392))
PAGES = 10
OTHERS: tuple[tuple[Callable[[random.Random, Size], Drawn], int], ...] = (
    (documents.receipt, 3),
    (documents.table, 4),
    (documents.screen, 3),
    (pictures.bars, 3),
    (pictures.lines, 2),
    (pictures.pie, 2),
    (pictures.landscape, 4),
    (pictures.still_life, 3),
)
QUALITY = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=SHIPPED)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.webp"):
        old.unlink()
    lines = [*text_lines(), *image_lines(folder)]
    content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "samples.jsonl").write_text(content, encoding="utf-8")
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{len(lines)} samples, {size / 1000:.0f} kB in {folder}")


def paragraphs(language: str, between: str = "\n\n") -> list[str]:
    parts = (TEXTS / f"{language}.txt").read_text(encoding="utf-8").split(between)
    return [part.strip() for part in parts]


def text_lines() -> Iterator[dict[str, Any]]:
    for language in LANGUAGES:
        yield from ({"text": text} for text in paragraphs(language))
    yield from ({"text": text} for text in paragraphs("code", "\n%%\n"))
    chats = (TEXTS / "chats.jsonl").read_text(encoding="utf-8").splitlines()
    yield from (json.loads(line) for line in chats)


def image_lines(folder: Path) -> Iterator[dict[str, Any]]:
    for number, (image, prompt, answer) in enumerate(drawn(random.Random(0))):
        name = f"{number:02d}.webp"
        image.save(folder / name, quality=QUALITY, method=6)
        yield {"image": name, "prompt": prompt, "answer": answer}


def drawn(rng: random.Random) -> Iterator[Drawn]:
    sizes = [SIZES[number % len(SIZES)] for number in range(PAGES + sum(count for _, count in OTHERS))]
    rng.shuffle(sizes)
    for number in range(PAGES):
        texts = paragraphs(DRAWN[number % len(DRAWN)])
        rng.shuffle(texts)
        yield documents.page(rng, sizes.pop(), texts)
    for draw, count in OTHERS:
        for _ in range(count):
            yield draw(rng, sizes.pop())


if __name__ == "__main__":
    main()
