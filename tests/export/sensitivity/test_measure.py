"""Measuring a small random model: what is found, by measurement and by factors, and what is refused."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from pocketvl.export.calibration.inputs import InputMaker
from pocketvl.export.calibration.samples import Sample
from pocketvl.export.checkpoint import Checkpoint, open_checkpoint
from pocketvl.export.component import ExportSettings
from pocketvl.export.layers import linear_layers
from pocketvl.export.sensitivity import measure
from pocketvl.export.sensitivity.eager import make_questions
from pocketvl.export.sensitivity.measure import Sensitivity, can_measure, measure_sensitivity
from pocketvl.export.sensitivity.probe import layer_choices
from pocketvl.quant.recipe import Calibration, Precision, Recipe, named_recipe
from pocketvl.runtime.errors import CalibrationError
from tests.support.checkpoints import random_tensors, write_checkpoint, write_weights
from tests.support.random_source import FULL

SETTINGS = ExportSettings(buckets=(64,), max_context=320, prefill_chunk=32)
RECIPE = dataclasses.replace(named_recipe("int8", "gptq"), calibration=Calibration(samples=6))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder)
    return open_checkpoint(str(folder))


def run(checkpoint: Checkpoint, recipe: Recipe = RECIPE) -> Sensitivity:
    return measure_sensitivity(checkpoint, checkpoint, recipe, SETTINGS, checkpoint.image, lambda *_: None)


@pytest.fixture(scope="module")
def measured(checkpoint: Checkpoint) -> Sensitivity:
    return run(checkpoint)


def test_every_choice_has_its_damage_and_more_bits_do_less(
    checkpoint: Checkpoint, measured: Sensitivity
) -> None:
    assert measured.measured
    choices = layer_choices(checkpoint.geometry, {})
    for layer in linear_layers(checkpoint.geometry):
        assert tuple(measured.kl_cost[layer.name]) == choices[layer.name]
        costs = [*measured.kl_cost[layer.name].values()]
        assert costs[-1] > 0
        assert all(kl_cost > 20 * costs[-1] for kl_cost in costs[:-1])


def test_measuring_again_finds_the_same(checkpoint: Checkpoint, measured: Sensitivity) -> None:
    assert run(checkpoint) == measured


def test_what_nobody_sees_does_no_damage(tmp_path: Path) -> None:
    """A merger that gives zeros hides the vision tower."""
    geometry = write_checkpoint(tmp_path)
    tensors = random_tensors(geometry)
    for name in ("visual.merger.mlp.2.weight", "visual.merger.mlp.2.bias"):
        tensors[name].zero_()
    write_weights(tmp_path, tensors)
    found = run(open_checkpoint(str(tmp_path)))
    for layer, kl_cost in found.kl_cost.items():
        hidden = layer.startswith("vision_encoder.")
        assert all((own == 0) == hidden for own in kl_cost.values()), layer


def test_large_models_take_factors(
    checkpoint: Checkpoint, measured: Sensitivity, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not can_measure(FULL)
    monkeypatch.setattr(measure, "_MEASURED_BELOW", 1000)
    estimated = run(checkpoint)
    assert not estimated.measured
    for layer, kl_cost in estimated.kl_cost.items():
        known = measured.kl_cost[layer]
        assert [*kl_cost] == [*known]
        most, least = min(known, key=lambda precision: precision.bits), Precision(8)
        # Choices stand to each other as they do when measured.
        assert kl_cost[most] / kl_cost[least] == pytest.approx(known[most] / known[least], rel=1e-6)


def test_other_methods_need_no_second_moments_to_be_invertible(checkpoint: Checkpoint) -> None:
    found = run(checkpoint, dataclasses.replace(RECIPE, method="rtn"))
    kl_cost = found.kl_cost["text_decoder.layers.0.up_proj"]
    assert [*kl_cost] == [Precision(4, 32), Precision(8)]
    assert kl_cost[Precision(4, 32)] > 20 * kl_cost[Precision(8)] > 0


def test_data_without_images_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    data = tmp_path / "words.jsonl"
    data.write_text(json.dumps({"prompt": "Hi", "answer": "Ho"}) + "\n")
    recipe = dataclasses.replace(RECIPE, calibration=Calibration(data=str(data), samples=1))
    with pytest.raises(CalibrationError, match="no image"):
        run(checkpoint, recipe)


@pytest.mark.parametrize("answer", ["red", None])
def test_positions_before_each_token_of_the_answer_decide(checkpoint: Checkpoint, answer: str | None) -> None:
    maker = InputMaker(checkpoint, checkpoint.image, SETTINGS.buckets, SETTINGS.max_context)
    sample = Sample((Image.new("RGB", (56, 56), "red"),), "What colour?", answer)
    made = maker.make(sample, 1)
    (question,) = make_questions(maker, [sample], [made], checkpoint.special_tokens)
    ids = made.text.token_ids
    predicted = ids[question.deciding + 1].tolist() if answer else []
    if answer is None:
        assert question.deciding.tolist() == [len(ids) - 1]
        return
    assert predicted[-1] in checkpoint.special_tokens.eos
    alone = torch.tensor(maker.make(dataclasses.replace(sample, answer=None), 1).text.token_ids)
    assert int(question.deciding[0]) == len(alone) - 1
    assert not set(predicted[:-1]) & set(checkpoint.special_tokens.eos)
