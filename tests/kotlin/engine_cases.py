"""Writes what the Python engines make of a bundle's graphs, and of whole questions, for other runtimes.

    python -m tests.kotlin.engine_cases OUT [--questions 200] [--coreml]

OUT gets a folder for each bundle of the tiny model (TARGET-RECIPE), cases.json, images.rgb (raw pixels, one
image after the other) and TARGET-RECIPE.json with the numbers and answers. What is there is not made again.
golden_images.rgb has those of tests/golden/tiny_answers.json, in its order, for readers without PNG.
--coreml adds a Core ML bundle with answers to the first 60 questions alone: its evaluator is slow.

Versions of onnxruntime round activations to 8 bits differently on some machines, which moves a quantized
model's numbers by a per cent. To compare bit for bit, put the version that the other runtime has before all
else on PYTHONPATH.
"""

import argparse
import base64
import io
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocketvl.export.tiny import TASKS, make_example
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.engines.open import open_engine

Json = dict[str, Any]
Float32 = NDArray[np.float32]

BUNDLES = (("onnx", "int4"), ("onnx", "fp32"), ("executorch", "int4"), ("executorch", "fp32"))
PACKAGES = {"onnx": "onnxruntime", "executorch": "executorch", "coreml": "coremltools"}
FIRST = 300_000  # held-out examples that nothing else asks about
MAX_TOKENS = 24
COREML_BUNDLE, COREML_QUESTIONS = ("coreml", "int4"), 60
MIN_PIXELS, MAX_PIXELS = 3136, 256 * 14 * 14
GOLDEN = Path(__file__).parents[1] / "golden/tiny_answers.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--coreml", action="store_true")
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    conversations, images = _conversations(options.questions)
    if not (out / "cases.json").exists():
        _write_cases(out, conversations, images)
    _write_golden_images(out)
    for target, recipe in (*BUNDLES, COREML_BUNDLE) if options.coreml else BUNDLES:
        folder = out / f"{target}-{recipe}"
        numbers = folder.with_suffix(".json")
        if not (folder / "manifest.json").exists():
            _export(target, recipe, folder)
        if not numbers.exists():
            bundle = open_bundle(folder)
            engine = open_engine(bundle, None if target == "coreml" else 1)
            asked = conversations[:COREML_QUESTIONS] if target == "coreml" else conversations
            made = {
                "runtime": version(PACKAGES[target]),
                "steps": _steps(bundle, engine),
                "answers": _answers(bundle, engine, asked, images),
            }
            engine.close()
            numbers.write_text(json.dumps(made), encoding="utf-8")


def _export(target: str, recipe: str, folder: Path) -> None:
    words = ["export", "tiny", "-o", str(folder), "--target", target, "--recipe", recipe]
    if recipe != "fp32":
        words += ["--method", "rtn"]
    subprocess.run([sys.executable, "-m", "pocketvl.cli", *words], check=True, stdout=subprocess.DEVNULL)


def wave(rows: int, columns: int, scale: float, seed: int) -> Float32:
    """Numbers that every language makes alike: small integers over 50."""
    flat = np.arange(rows * columns, dtype=np.int64)
    steps = ((flat * 37 + seed * 11) % 101 - 50).astype(np.float32) / np.float32(50)
    return (steps * np.float32(scale)).reshape(rows, columns)


def _steps(bundle: Bundle, engine: Engine) -> Json:
    """The graphs one by one; a step at slot 2 comes behind others at slots that it makes empty."""
    vision, text = bundle.manifest.geometry.vision, bundle.manifest.geometry.text
    rope = [wave(64, vision.head_dim, 1, seed) for seed in (2, 3)]
    embeddings = engine.vision.encode(wave(64, vision.patch_dim, 1, 1), *rope)
    decoded = []
    for count, slot in ((5, 0), (1, 5), (3, 6), (1, 2), (bundle.manifest.prefill_chunk, 3)):
        inputs = wave(count, text.hidden_size, 0.05, slot + 1)
        ropes = [wave(count, text.head_dim, 1, slot + seed) for seed in (2, 3)]
        hidden = engine.text.decode(inputs, *ropes, slot)
        logits = engine.text.logits(hidden[-1:])
        decoded.append(
            {"count": count, "slot": slot, "hidden": _listed(hidden[-1]), "logits": _listed(logits[0])}
        )
    many = engine.text.logits(wave(19, text.hidden_size, 0.5, 4))
    return {
        "image_embeddings": _listed(embeddings),
        "decoded": decoded,
        "logits_of_19": _listed(many[:, :8]),
    }


def _listed(values: Float32) -> list[float]:
    return [float(f"{value:.8g}") for value in values.ravel().tolist()]


def _conversations(questions: int) -> tuple[list[Json], list[Image.Image]]:
    images: list[Image.Image] = []

    def number(image: Image.Image) -> int:
        images.append(image.convert("RGB"))
        return len(images) - 1

    def turn(question: str, *pictures: Image.Image, **video: Any) -> Json:
        return {"question": question, "images": [number(picture) for picture in pictures], **video}

    found: list[Json] = []
    for index in range(questions):
        example = make_example(TASKS[index % len(TASKS)], FIRST + index // len(TASKS))
        found.append({"name": f"{example.task} {index}", "turns": [turn(example.question, *example.images)]})
    colour, count = make_example("colour", FIRST + 900), make_example("count", FIRST + 900)
    pair = make_example("pair", FIRST + 900)
    portrait = make_example("colour", FIRST + 901).images[0].resize((112, 308))
    found += [
        {"name": "two images", "turns": [turn(pair.question, *pair.images)]},
        {"name": "portrait", "turns": [turn(colour.question, portrait)]},
        {
            "name": "three turns",
            "turns": [
                turn(colour.question, *colour.images),
                turn(count.question, *count.images),
                turn(colour.question),
            ],
        },
        {"name": "longer than a chunk", "turns": [turn("word " * 300 + count.question, *count.images)]},
        {"name": "text alone", "turns": [turn("What is this?")]},
        {
            "name": "video",
            "turns": [
                {
                    "question": colour.question,
                    "images": [],
                    "video": [number(frame) for frame in _frames()],
                }
            ],
        },
    ]
    return found, images


def _frames() -> list[Image.Image]:
    """Five, so that the last slice has one frame twice."""
    return [make_example("colour", FIRST + 910 + n).images[0].resize((112, 112)) for n in range(5)]


def _write_cases(out: Path, conversations: list[Json], images: list[Image.Image]) -> None:
    cases = {
        "min_pixels": MIN_PIXELS,
        "max_pixels": MAX_PIXELS,
        "max_tokens": MAX_TOKENS,
        "images": _write_pixels(out / "images.rgb", images),
        "conversations": conversations,
    }
    (out / "cases.json").write_text(json.dumps(cases), encoding="utf-8")


def _write_pixels(file: Path, images: list[Image.Image]) -> list[Json]:
    """Where each image is in the file."""
    offsets, offset = [], 0
    with file.open("wb") as pixels:
        for image in images:
            offsets.append({"height": image.height, "width": image.width, "offset": offset})
            offset += pixels.write(image.tobytes())
    return offsets


def _write_golden_images(out: Path) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    written = [png for case in golden["cases"] for turn in case["turns"] for png in turn["images"]]
    images = [Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB") for png in written]
    places = _write_pixels(out / "golden_images.rgb", images)
    (out / "golden_images.json").write_text(json.dumps(places), encoding="utf-8")


def _answers(
    bundle: Bundle, engine: Engine, conversations: list[Json], images: list[Image.Image]
) -> list[list[Json]]:
    session = ChatSession(bundle, engine, keep_vision=True, min_pixels=MIN_PIXELS, max_pixels=MAX_PIXELS)
    return [_answered(session, conversation, images) for conversation in conversations]


def _answered(session: ChatSession, conversation: Json, images: list[Image.Image]) -> list[Json]:
    session.reset()
    made = []
    for turn in conversation["turns"]:
        content: list[Json] = [{"type": "image", "image": images[number]} for number in turn["images"]]
        if "video" in turn:
            content.append({"type": "video", "video": [images[number] for number in turn["video"]]})
        content.append({"type": "text", "text": turn["question"]})
        answer = session.ask(content, max_tokens=MAX_TOKENS, sampler=Sampler())
        made.append(
            {
                "prompt_tokens": len(answer.prompt_token_ids),
                "ids": list(answer.token_ids),
                "text": answer.text,
            }
        )
    return made


if __name__ == "__main__":
    main()
