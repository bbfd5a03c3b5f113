"""A bundle's answers to the demo's held-out questions, with logits, on whatever processor this runs on.

python -m tools.emulated.answers OUT BUNDLE [BUNDLE ..] [--questions 28] [--reference FOLDER]

OUT gets TARGET-RECIPE.npz for each bundle. With --reference, a folder that another processor wrote, the
logits follow that one's answers token by token, so that both say something about the same text.
"""

import argparse
import hashlib
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from pocketvl.export.tiny import TASKS, Example, make_example, score
from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.decoder import Decoder
from pocketvl.runtime.decoding.embedding import EmbeddingMap
from pocketvl.runtime.decoding.feed import Media, build_feed
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engine import Engine, Float32
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.media.encoder import VisionPipeline

MAX_TOKENS = 32
PACKAGES = {names.EXECUTORCH: "executorch", names.ONNX: "onnxruntime"}


@dataclass(frozen=True)
class Answer:
    """One question's. logits: float32 (n, vocabulary), where each of the n forced tokens stood for choice."""

    drawn: str  # sha256 of the question's images, as drawn
    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    score: float
    embeddings: Float32  # of all its images, float32 (tokens, hidden_size)
    logits: Float32


@dataclass(frozen=True)
class Answers:
    package: str  # "onnxruntime 1.31.1"
    answers: tuple[Answer, ...]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("bundle", type=Path, nargs="+")
    parser.add_argument("--questions", type=int, default=4 * len(TASKS))
    parser.add_argument("--reference", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for folder in options.bundle:
        began = time.perf_counter()
        bundle = open_bundle(folder)
        name = f"{bundle.manifest.target}-{bundle.manifest.recipe}.npz"
        reference = read(options.reference / name) if options.reference else None
        write(options.out / name, answer(bundle, options.questions, reference))
        print(f"{name}: {options.questions} questions in {time.perf_counter() - began:.0f} s", flush=True)


def answer(bundle: Bundle, questions: int, reference: Answers | None) -> Answers:
    engine = open_engine(bundle, 1)
    try:
        session = ChatSession(bundle, engine, keep_vision=True)
        made = []
        for index in range(questions):
            example = make_example(TASKS[index % len(TASKS)], index // len(TASKS))
            forced = reference.answers[index].ids if reference else None
            made.append(_answer(bundle, engine, session, example, forced))
    finally:
        engine.close()
    package = PACKAGES[bundle.manifest.target]
    return Answers(f"{package} {version(package)}", tuple(made))


def _answer(
    bundle: Bundle, engine: Engine, session: ChatSession, example: Example, forced: tuple[int, ...] | None
) -> Answer:
    session.reset()
    content = [*({"type": "image", "image": image} for image in example.images)]
    said = session.ask(
        [*content, {"type": "text", "text": example.question}], max_tokens=MAX_TOKENS, sampler=Sampler()
    )
    vision = VisionPipeline(bundle.manifest, bundle.manifest.image, engine.vision)
    media = [vision.encode(vision.prepare(image))[0] for image in example.images]
    return Answer(
        hashlib.sha256(b"".join(image.convert("RGB").tobytes() for image in example.images)).hexdigest(),
        said.prompt_token_ids,
        said.token_ids,
        score(example, said.text),
        np.concatenate([one.embeddings for one in media]),
        _logits(bundle, engine, said.prompt_token_ids, media, said.token_ids if forced is None else forced),
    )


def _logits(
    bundle: Bundle, engine: Engine, prompt: tuple[int, ...], media: list[Media], forced: tuple[int, ...]
) -> Float32:
    """Read in chunks, then one token at a time, as a session does: both have kernels of their own."""
    manifest = bundle.manifest
    table = EmbeddingMap(bundle.path(manifest.token_embedding.file), manifest.token_embedding)
    decoder = Decoder(engine.text, table, manifest)
    merge = manifest.geometry.vision.spatial_merge_size
    *_, last = decoder.feed(build_feed(prompt, media, manifest.special_tokens, merge))
    rows = [decoder.logits(last[-1:]), *(decoder.logits(decoder.extend((token,))) for token in forced[:-1])]
    return np.concatenate(rows)


def write(path: Path, made: Answers) -> None:
    arrays = {"package": np.array(made.package), "count": np.array(len(made.answers))}
    for number, one in enumerate(made.answers):
        for field, value in vars(one).items():
            arrays[f"{number} {field}"] = np.asarray(value)
    np.savez(path, **arrays)  # type: ignore[arg-type]


def read(path: Path) -> Answers:
    with np.load(path) as file:
        answers = tuple(
            Answer(
                str(file[f"{number} drawn"]),
                tuple(file[f"{number} prompt"].tolist()),
                tuple(file[f"{number} ids"].tolist()),
                float(file[f"{number} score"]),
                file[f"{number} embeddings"],
                file[f"{number} logits"],
            )
            for number in range(int(file["count"]))
        )
        return Answers(str(file["package"]), answers)


if __name__ == "__main__":
    main()
