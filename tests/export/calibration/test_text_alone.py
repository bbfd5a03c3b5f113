"""Calibrating on lines without images."""

import dataclasses
from pathlib import Path

import pytest
import torch

from pocketvl.export.calibration.inputs import InputMaker, TextInputs
from pocketvl.export.calibration.samples import load_samples
from pocketvl.export.checkpoint import Checkpoint, open_checkpoint
from pocketvl.export.executorch.text_graph import TextDecoder
from pocketvl.export.executorch.xnnpack import load_custom_ops
from pocketvl.export.layer_plan import resolve
from pocketvl.export.weights import fill, fill_floats
from pocketvl.quant.recipe import Calibration, Recipe, named_recipe
from pocketvl.runtime.errors import CalibrationError
from tests.support.calibrating import RECIPE, SETTINGS, StopError, run
from tests.support.checkpoints import write_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder)
    return open_checkpoint(str(folder))


@pytest.fixture
def words(tmp_path: Path) -> Calibration:
    path = tmp_path / "words.jsonl"
    path.write_text(
        '{"prompt": "Say something long.", "answer": "' + "a long text " * 20 + '"}\n'
        '{"text": "' + "Of words alone. " * 20 + '"}\n'
    )
    return Calibration(str(path), 2)


def test_a_tower_cannot_be_calibrated_without_images(
    checkpoint: Checkpoint, tmp_path: Path, words: Calibration
) -> None:
    depth = checkpoint.geometry.vision.depth
    layers = rf"vision_encoder\.blocks\.0\.qkv and {4 * depth + 2 - 1} more of the vision tower"
    with pytest.raises(CalibrationError, match=f"'int4-small' calibrates {layers}"):
        run(checkpoint, tmp_path / "store", dataclasses.replace(RECIPE, calibration=words))


def test_a_decoder_can_be_calibrated_on_text_alone(
    checkpoint: Checkpoint, tmp_path: Path, words: Calibration
) -> None:
    recipe = dataclasses.replace(named_recipe("int4", "gptq"), calibration=words, rotation=False)
    source = run(checkpoint, tmp_path / "store", recipe)
    written = {path.stem for path in (tmp_path / "store").glob("*.safetensors")}
    layers = checkpoint.geometry.text.num_layers
    assert written == {"flow", *(f"text_decoder.layers.{index}" for index in range(layers))}
    with pytest.raises(StopError):
        run(checkpoint, tmp_path / "again", recipe, stop_at="layers.1")
    again = run(checkpoint, tmp_path / "again", recipe)
    maker = InputMaker(checkpoint, checkpoint.image, SETTINGS.buckets, SETTINGS.max_context)
    texts = [maker.make(sample, 1).text for sample in load_samples(words)]
    floats = dataclasses.replace(recipe, name="float")
    right = decoded(checkpoint, checkpoint, floats, texts)
    rounded = decoded(checkpoint, checkpoint, named_recipe("int4"), texts)
    ours = decoded(checkpoint, source, recipe, texts)
    assert torch.equal(ours, decoded(checkpoint, again, recipe, texts))
    assert (ours - right).norm() < (rounded - right).norm()


def decoded(checkpoint: Checkpoint, source, recipe: Recipe, texts: list[TextInputs]) -> torch.Tensor:
    """Hidden states (all tokens, width)."""
    load_custom_ops()
    plan = resolve(recipe, checkpoint.geometry)
    decoder = TextDecoder(plan, max(len(text.token_ids) for text in texts))
    fill(decoder, source, plan.method) if recipe.name != "float" else fill_floats(decoder, source)
    table, start = checkpoint.tensor("model.embed_tokens.weight").float(), torch.zeros(1, dtype=torch.int64)
    with torch.no_grad():
        parts = [decoder(table[text.token_ids][None], text.rope_cos, text.rope_sin, start) for text in texts]
    return torch.cat(parts, 1)[0]
