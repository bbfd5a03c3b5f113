"""A conversation that was saved, which tests of what is read and of what is refused begin with."""

import shutil
from pathlib import Path

import pytest

from pocketvl.runtime import load
from pocketvl.runtime.bundle.open import Bundle
from tests.support.chats import about
from tests.support.sampling import Scripted


@pytest.fixture(scope="module")
def onnx(small_onnx_bundle: Bundle) -> Bundle:
    return small_onnx_bundle


@pytest.fixture
def saved(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path / "saved"))


@pytest.fixture(scope="module")
def whole(onnx: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chat") / "saved"
    with load(onnx.folder, threads=1) as model:
        session = model.chat(system="Be brief.", max_pixels=84 * 84)
        session.ask(about(1), max_tokens=4)
        box = {"type": "box", "pixels": [0, 0, 42, 42]}
        session.ask([*about(2), *about(1), box, {"type": "object_ref", "text": "sign"}], max_tokens=3)
        pad = onnx.manifest.special_tokens.image_pad
        session.ask("A placeholder?", max_tokens=3, sampler=Scripted([pad, pad, 65]))
        session.save(path)
    return path
