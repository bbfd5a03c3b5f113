"""What the packages offer by name, and that they offer it lazily."""

import importlib
import subprocess
import sys

import pytest

import pocketvl.runtime
from pocketvl.runtime import load
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.errors import BundleError

PUBLIC = {
    "pocketvl.export": ["export_bundle"],
    "pocketvl.runtime": [
        "Answer",
        "AnswerStream",
        "Box",
        "ChatSession",
        "Conversation",
        "Model",
        "PocketVLError",
        "Sampler",
        "Statistics",
        "load",
    ],
}


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(module.__all__) == PUBLIC[package]
    assert dir(module) == module.__all__
    for name in module.__all__:
        assert getattr(module, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'loads'"):
        _ = pocketvl.runtime.loads


def test_importing_a_package_imports_nothing_heavy() -> None:
    program = f"import sys, {', '.join(PUBLIC)}; print(*{{'numpy', 'PIL', 'torch'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_three_lines_answer_a_question(small_onnx_bundle: Bundle) -> None:
    with load(str(small_onnx_bundle.folder), threads=1) as model:
        chat = model.chat()
        first = chat.ask("What is this?", max_tokens=4)
        pieces = list(chat.stream("And this?", max_tokens=4))
        assert first.text
        assert "".join(pieces)
        assert len(chat.conversation.messages) == 4
        assert model.manifest.target == "onnx"


def test_a_model_can_be_used_again_after_close(small_onnx_bundle: Bundle) -> None:
    model = load(small_onnx_bundle.folder, threads=1)
    chat = model.chat()
    first = chat.ask("What is this?", max_tokens=4)
    model.close()
    chat.reset()
    assert chat.ask("What is this?", max_tokens=4).token_ids == first.token_ids


def test_what_is_no_bundle_is_refused() -> None:
    with pytest.raises(BundleError, match="does not exist"):
        load("no-such-folder")
