"""Calibration data: prompts with images and, where known, answers; and plain text."""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pocketvl.export.tiny import TASKS, make_example
from pocketvl.quant.recipe import GENERAL, GENERATED, Calibration
from pocketvl.runtime.errors import CalibrationError, ImageError
from pocketvl.runtime.files import read_bytes, read_text
from pocketvl.runtime.media.image import MOST_BYTES, load_image

_GENERAL_FILE = Path(__file__).parent / "general" / "samples.jsonl"  # tools/general_set makes it
DEFAULT_PROMPT = "Describe this picture in detail."
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif")
_FIRST_NOTES = 3  # that are said one by one
_KEYS = {"image", "images", "prompt", "question", "answer", "system", "text"}


@dataclass(frozen=True)
class Sample:
    """One question. Images are what load_image takes; answer None where it is not known.

    notes: sentences about images that are not read by the letter. system: what the system turn says; None for
    the chat template's own. plain: the prompt is running text, which stands outside of any turn.
    """

    images: tuple[Path | Image.Image, ...]
    prompt: str
    answer: str | None
    notes: tuple[str, ...] = ()
    system: str | None = None
    plain: bool = False

    def load_images(self) -> tuple[Image.Image, ...]:
        """Raises ImageError."""
        return tuple(load_image(image) for image in self.images)

    def update(self, digest: "hashlib._Hash") -> None:
        """Add all that decides what the model sees. Raises CalibrationError."""
        more = [self.system, self.plain] if self.plain or self.system is not None else []
        digest.update(json.dumps([len(self.images), self.prompt, self.answer, *more]).encode())
        for image in self.images:
            if isinstance(image, Path):
                digest.update(hashlib.sha256(read_bytes(image, CalibrationError, MOST_BYTES)).digest())
            else:
                digest.update(f"{image.mode} {image.size}".encode() + image.tobytes())


def load_samples(calibration: Calibration) -> tuple[Sample, ...]:
    """As many samples as `calibration` asks for: "generated" or None, "general", a .jsonl file, or a folder
    of images.

    "general" is the set that comes with pocketvl. "generated" are training images of the tiny model's tasks;
    "generated:448" the same with their longer side enlarged to 448 pixels, for models that see more. A .jsonl
    line: {"image": path | "images": [paths], "prompt" | "question": text, "answer": text, "system": text},
    paths relative to the file; all but the prompt may be left out. Or {"text": running text}, which the chat
    template is not put around. In a folder an image's prompt stands in a .txt file of its name, or is a
    request to describe it. Everything is checked before anything is computed: raises CalibrationError, which
    names file and line.
    """
    data = calibration.data or GENERATED
    if data.partition(":")[0] == GENERATED:
        return tuple(_generated(calibration))
    path = _GENERAL_FILE if data == GENERAL else Path(data).expanduser()
    if path.is_dir():
        found = tuple(_folder(path))
    elif path.suffix == ".jsonl" and path.exists():
        found = tuple(_lines(path))
    else:
        raise CalibrationError(
            f"Calibration data {data!r} is neither {GENERAL!r} nor {GENERATED!r}, nor a folder, nor a .jsonl"
            " file; check the path."
        )
    if len(found) < calibration.samples:
        raise CalibrationError(
            f"{data if data == GENERAL else path} holds {len(found)} samples, but the recipe asks for"
            f" {calibration.samples}; {'' if data == GENERAL else 'add some or '}lower calibration.samples."
        )
    return tuple(random.Random(calibration.seed).sample(found, calibration.samples))


def samples_fingerprint(samples: tuple[Sample, ...]) -> str:
    """sha256 over images, prompts and answers. Raises CalibrationError for an image that is gone."""
    digest = hashlib.sha256()
    for sample in samples:
        sample.update(digest)
    return digest.hexdigest()


def describe_notes(notes: Sequence[str]) -> str:
    """In a sentence for the user: how many there are of Sample.notes, and the first few."""
    more = f" And {len(notes) - _FIRST_NOTES} more." if len(notes) > _FIRST_NOTES else ""
    first = " ".join(notes[:_FIRST_NOTES])
    return f"{len(notes)} images of the calibration data were not read by the letter. {first}{more}"


def _generated(calibration: Calibration) -> Iterator[Sample]:
    _, _, words = (calibration.data or GENERATED).partition(":")
    if words and not (words.isdecimal() and 28 <= int(words) <= 4096):
        raise CalibrationError(
            f"Calibration data {calibration.data!r}: the side must lie in 28..4096 pixels."
        )
    first = calibration.seed * 1_000_000
    for index in range(calibration.samples):
        example = make_example(TASKS[index % len(TASKS)], first + index, "train")
        images = tuple(_enlarged(image, int(words)) if words else image for image in example.images)
        yield Sample(images, example.question, example.answer)


def _enlarged(image: Image.Image, side: int) -> Image.Image:
    scale = side / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BICUBIC)


def _folder(folder: Path) -> Iterator[Sample]:
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in _SUFFIXES:
            words = path.with_suffix(".txt")
            prompt = _text(words) if words.exists() else DEFAULT_PROMPT
            yield Sample((path,), prompt, None, _check_image(path, str(path)))


def _lines(path: Path) -> Iterator[Sample]:
    for number, line in enumerate(_text(path).splitlines(), 1):
        if line.strip():
            yield _sample(line, path, f"{path}, line {number}")


def _sample(line: str, path: Path, where: str) -> Sample:
    try:
        content = json.loads(line)
    except ValueError as error:
        raise CalibrationError(f"{where} is not valid JSON: {error}.") from None
    if not isinstance(content, dict) or set(content) - _KEYS:
        raise CalibrationError(f"{where} must be an object with some of the keys {', '.join(sorted(_KEYS))}.")
    if "text" in content:
        return _plain(content, where)
    images: Any = content.get("images", [content["image"]] if "image" in content else [])
    prompt, answer = content.get("prompt", content.get("question")), content.get("answer")
    system = content.get("system")
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        raise CalibrationError(f"{where}: 'images' must be a list of paths.")
    if not isinstance(prompt, str) or not isinstance(answer, str | None):
        raise CalibrationError(
            f"{where} needs a 'prompt', or a 'text', and its 'answer', if any, must be text."
        )
    if not isinstance(system, str | None):
        raise CalibrationError(f"{where}: 'system' must be text.")
    paths = tuple(path.parent / image for image in images)
    notes = tuple(note for one in paths for note in _check_image(one, where))
    return Sample(paths, prompt, answer, notes, system)


def _plain(content: dict[str, Any], where: str) -> Sample:
    text = content["text"]
    if len(content) > 1 or not isinstance(text, str) or not text.strip():
        raise CalibrationError(
            f"{where}: 'text' must be running text with no other key beside it; a question about images has a"
            " 'prompt'."
        )
    return Sample((), text, None, plain=True)


def _check_image(path: Path, where: str) -> tuple[str, ...]:
    """What load_image notes about it. Raises CalibrationError."""
    notes: list[str] = []
    try:
        load_image(path, notes.append)
    except ImageError as error:
        raise CalibrationError(f"{where}: {error}") from None
    return tuple(notes)


def _text(path: Path) -> str:
    return read_text(path, CalibrationError).strip()
