"""What the packages offer by name, and that they offer it lazily."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from pocketvl.evaluate import bench_bundle, evaluate_bundle, verify_bundle
from pocketvl.quant.recipe import NAMED_RECIPES
from pocketvl.runtime import load
from pocketvl.runtime.bundle.open import Bundle
from pocketvl.runtime.errors import BundleError, UsageError
from tests.support.checkpoints import write_checkpoint

PUBLIC = {
    "pocketvl.export": ["export_bundle"],
    "pocketvl.runtime": [
        "Agent",
        "AgentAnswer",
        "Answer",
        "AnswerStream",
        "Box",
        "ChatSession",
        "Conversation",
        "EncodedImage",
        "InvalidToolCall",
        "LiveView",
        "Model",
        "PocketVLError",
        "Quad",
        "Sampler",
        "Statistics",
        "Tool",
        "ToolCall",
        "load",
    ],
    "pocketvl.quant": [
        "Calibration",
        "NAMED_RECIPES",
        "Precision",
        "Recipe",
        "Rule",
        "load_recipe",
        "named_recipe",
        "recipe_toml",
    ],
    "pocketvl.evaluate": [
        "Bench",
        "Check",
        "DatasetReport",
        "Evaluation",
        "TaskScore",
        "Verification",
        "bench_bundle",
        "evaluate_bundle",
        "verify_bundle",
    ],
}


@pytest.mark.parametrize("package", PUBLIC)
def test_public_names(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(module.__all__) == PUBLIC[package]
    assert dir(module) == sorted(module.__all__)
    for name in module.__all__:
        value = getattr(module, name)
        assert value is NAMED_RECIPES if name.isupper() else value.__name__ == name


@pytest.mark.parametrize("package", PUBLIC)
def test_an_unknown_name_is_an_attribute_error(package: str) -> None:
    module = importlib.import_module(package)
    with pytest.raises(AttributeError, match=f"{package}' has no attribute 'loads'"):
        _ = module.loads


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


def test_a_bundle_is_evaluated_by_its_name(small_onnx_bundle: Bundle, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "other", seed=1)
    with pytest.warns(UserWarning, match="other weights than those"):
        result = evaluate_bundle(
            str(small_onnx_bundle.folder),
            "generated/count:1",
            against=str(tmp_path / "other"),
            output=str(tmp_path / "out"),
            max_tokens=2,
            threads=1,
        )
    (report,) = result.datasets
    assert (report.scored, report.fidelity is not None) == (1, True)
    assert [path.name for path in result.folder.glob("*.jsonl")] == ["generated-count.jsonl"]


def test_a_bundle_is_verified_and_timed_by_its_name(
    small_onnx_bundle: Bundle, small_checkpoint: Path
) -> None:
    folder = str(small_onnx_bundle.folder)
    verification = verify_bundle(folder, str(small_checkpoint), max_tokens=2, threads=1)
    assert verification.passed
    assert verification.checks
    assert not verification.missed
    bench = bench_bundle(folder, threads=1, decode_tokens=2, repeats=1)
    area = small_onnx_bundle.manifest.geometry.vision.merge_area
    assert [each.tokens * area for each in bench.vision] == [each.patches for each in bench.vision]
    with pytest.raises(UsageError, match="take at least 2 and 1"):
        bench_bundle(folder, repeats=0)
