"""Exported folders answer in transformers.js as they do in our own runtime."""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketvl.export.component import ExportSettings
from pocketvl.export.tiny import make_example

pytest.importorskip("onnx", reason="exporting needs pip install 'pocketvl[export]'")
pytest.importorskip("onnxruntime", reason="running needs pip install 'pocketvl[onnx]'")

from pocketvl.export.onnx.target import ONNX
from pocketvl.export.pipeline import export_bundle
from pocketvl.quant.recipe import named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.open import Bundle, open_bundle
from pocketvl.runtime.chat.session import ChatSession
from pocketvl.runtime.decoding.sampling import Sampler
from pocketvl.runtime.engine import Engine
from pocketvl.runtime.engines.open import open_engine
from pocketvl.runtime.media.patches import patchify
from tests.support.quick_exports import spare_repetitions
from tests.transformers_js.browser import WEBGPU, answers_in_browser, find_browser

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SIGN = "What does the sign say?"  # what the snippets ask
MAX_TOKENS = 24


def javascript(script: str, *words: object, request: object = None) -> Any:
    """What a script prints, parsed. Its packages come from NODE_PATH or from beside it."""
    done = subprocess.run(
        ["node", HERE / script, *map(str, words)],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _packages() -> Path | None:
    """The folder of transformers.js and what it needs."""
    folders = [HERE / "node_modules", *map(Path, os.environ.get("NODE_PATH", "").split(os.pathsep))]
    return next((folder for folder in folders if (folder / "@huggingface" / "transformers").is_dir()), None)


def _missing() -> str | None:
    if shutil.which("node") is None:
        return "node is not installed"
    if _packages() is None:
        return "transformers.js is not installed: npm install in tests/transformers_js, or set NODE_PATH"
    return None


pytestmark = pytest.mark.skipif(_missing() is not None, reason=_missing() or "")


@dataclass(frozen=True)
class Question:
    text: str
    images: tuple[Image.Image, ...]


def questions() -> dict[str, Question]:
    """What the tiny model is sure of, so that no two tokens are nearly as likely: integers of activations
    flip between two graphs. Sides are multiples of 28, since resizers differ in rounding."""
    read, colour, pair = (make_example(task, 100_000) for task in ("read", "colour", "pair"))
    wide, tall = (224, 84), (84, 252)
    return {
        "single": Question(read.question, read.images),
        "two images": Question(pair.question, pair.images),
        "two sizes": Question(pair.question, (_on(pair.images[0], wide), _on(pair.images[1], tall))),
        "landscape": Question(read.question, (_on(read.images[0], wide),)),
        "portrait": Question(colour.question, (_on(colour.images[0], tall),)),
        "no image": Question("Hello", ()),
    }


def _on(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image in the middle of a larger one, cut where it is too large."""
    canvas = Image.new("RGB", size, (250, 250, 245))
    canvas.paste(image.convert("RGB"), tuple((a - b) // 2 for a, b in zip(size, image.size, strict=True)))
    return canvas


@pytest.fixture(scope="module", params=["fp32", "int4", "int4-small", "int4-fast"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    spare_repetitions(names.ONNX)
    folder = tmp_path_factory.mktemp("transformers_js") / request.param
    export_bundle(
        "tiny",
        folder,
        recipe=named_recipe(request.param, "rtn"),
        settings=ExportSettings(buckets=(64, 256), max_context=512),
        command="pytest",
        target=ONNX,
    )
    return open_bundle(folder, verify="always")


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Iterator[Engine]:
    engine = open_engine(bundle, threads=1)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def request_of(bundle: Bundle) -> dict[str, Any]:
    """What answer.mjs is asked: questions()."""
    asked = []
    for name, question in questions().items():
        paths = [bundle.folder.parent / f"{name} {index}.png" for index in range(len(question.images))]
        for path, image in zip(paths, question.images, strict=True):
            image.convert("RGB").save(path)
        asked.append({"text": question.text, "images": [str(path) for path in paths]})
    return {"folder": str(bundle.folder), "max_new_tokens": MAX_TOKENS, "questions": asked}


@pytest.fixture(scope="module", params=["node", "browser", pytest.param("webgpu", marks=pytest.mark.slow)])
def answers(request: pytest.FixtureRequest, request_of: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """transformers.js's answers by the names of questions()."""
    if request.param == "node":
        return dict(zip(questions(), javascript("ask.mjs", request=request_of), strict=True))
    browser, packages = find_browser(), _packages()
    if browser is None or packages is None:
        pytest.skip("no Chromium is installed")
    asked, flags = (
        (request_of, ()) if request.param == "browser" else ({**request_of, "device": "webgpu"}, WEBGPU)
    )
    return dict(zip(questions(), answers_in_browser(browser, packages, asked, flags), strict=True))


@pytest.mark.parametrize("name", questions())
def test_the_same_tokens(
    bundle: Bundle, engine: Engine, answers: dict[str, dict[str, Any]], name: str
) -> None:
    question, theirs = questions()[name], answers[name]
    session = ChatSession(bundle, engine, keep_vision=True)
    content = [{"type": "image", "image": image} for image in question.images]
    ours = session.ask(
        [*content, {"type": "text", "text": question.text}], max_tokens=MAX_TOKENS, sampler=Sampler()
    )
    assert theirs["prompt_token_ids"] == list(ours.prompt_token_ids)
    assert theirs["token_ids"] == list(ours.token_ids)


@pytest.mark.parametrize("name", [name for name, question in questions().items() if question.images])
def test_the_same_pixels(bundle: Bundle, answers: dict[str, dict[str, Any]], name: str) -> None:
    manifest = bundle.manifest
    prepared = [
        patchify(image.convert("RGB"), manifest.geometry.vision, manifest.image)
        for image in questions()[name].images
    ]
    pixels = np.frombuffer(base64.b64decode(answers[name]["pixel_values"]), np.float32)
    assert answers[name]["grids"] == [list(grid) for _, grid in prepared]
    ours = np.concatenate([patches for patches, _ in prepared])
    np.testing.assert_allclose(pixels.reshape(ours.shape), ours, atol=1e-6)


@pytest.mark.parametrize("page", ["docs/transformers-js.md", "README.md of the bundle"])
def test_the_snippets_run_as_they_stand(bundle: Bundle, engine: Engine, tmp_path: Path, page: str) -> None:
    documents = {"docs/transformers-js.md": ROOT / "docs" / "transformers-js.md"}
    text = documents.get(page, bundle.folder / "README.md").read_text(encoding="utf-8")
    packages, question = _packages(), questions()["single"]
    assert packages is not None
    (tmp_path / "node_modules").symlink_to(packages.resolve())
    for name in ("my-bundle", "THIS_FOLDER"):
        (tmp_path / name).symlink_to(bundle.folder)
    question.images[0].convert("RGB").save(tmp_path / "street.jpg", format="PNG")
    snippet = text.partition("```js\n")[2].partition("```")[0].replace(SIGN, question.text)
    (tmp_path / "ask.mjs").write_text(snippet, encoding="utf-8")
    done = subprocess.run(["node", "ask.mjs"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    session = ChatSession(bundle, engine, keep_vision=True)
    content = [{"type": "image", "image": question.images[0]}, {"type": "text", "text": question.text}]
    assert done.stdout.strip() == session.ask(content, sampler=Sampler()).text.strip()


def test_what_the_documentation_says_of_transformers_js(bundle: Bundle) -> None:
    found = javascript("known_faults.mjs", bundle.folder)
    assert found == {"text_delta": 6, "stacked_grid": [[1, 6, 6]], "stacked_patches": 36}
