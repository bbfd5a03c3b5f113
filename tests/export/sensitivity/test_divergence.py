"""The model in memory computes what the graphs do, and an exchanged weight shows in its answers."""

import math
from dataclasses import replace

import pytest
import torch

from pocketvl.export.calibration.inputs import ImageInputs, SampleInputs, TextInputs
from pocketvl.export.executorch.text_graph import TextDecoder
from pocketvl.export.executorch.vision_graph import VisionEncoder
from pocketvl.export.layer_plan import resolve
from pocketvl.export.modules import LMHead
from pocketvl.export.sensitivity.eager import EagerModel, Question, layer_divergences, mean_divergence
from pocketvl.export.sensitivity.probe import Rounded
from pocketvl.export.weights import fill_floats
from pocketvl.quant.recipe import named_recipe
from pocketvl.runtime.positions import vision_rope
from tests.support.checkpoints import SMALL_GEOMETRY
from tests.support.random_source import RandomSource

TIED = RandomSource(SMALL_GEOMETRY, std=0.1)
UNTIED = RandomSource(
    replace(SMALL_GEOMETRY, text=replace(SMALL_GEOMETRY.text, tie_word_embeddings=False)), std=0.1
)


def question(rows: int, columns: int, words: int, seed: int) -> Question:
    """An image, then `words` tokens, of which the last three are the answer."""
    generator = torch.Generator().manual_seed(seed)
    vision, text = SMALL_GEOMETRY.vision, SMALL_GEOMETRY.text
    cos, sin = (torch.from_numpy(part) for part in vision_rope(rows, columns, vision))
    patches = torch.randn(rows * columns, vision.patch_dim, generator=generator)
    images = rows * columns // vision.merge_area
    count = images + words
    angles = torch.rand(count, text.head_dim // 2, generator=generator).repeat(1, 2)
    ids = torch.randint(text.vocab_size, (count,), generator=generator)
    inputs = TextInputs(ids, torch.arange(count) < images, angles.cos(), angles.sin())
    sample = SampleInputs((ImageInputs(patches, cos, sin),), inputs)
    return Question(sample, torch.arange(count - 4, count - 1))


QUESTIONS = [question(2, 4, 5, 1), question(4, 4, 9, 2)]


@torch.no_grad()
def graph_logits(source: RandomSource, asked: Question) -> torch.Tensor:
    floats = resolve(named_recipe("fp32"), source.geometry)
    vision, decoder, head = VisionEncoder(floats), TextDecoder(floats, 64), LMHead(floats)
    for graph in (vision, decoder, head):
        fill_floats(graph, source)
    (image,), text = asked.inputs.images, asked.inputs.text
    hidden = source.tensor("model.embed_tokens.weight")[text.token_ids]
    hidden[text.is_image] = vision(image.patches, image.rope_cos, image.rope_sin)
    states = decoder(hidden[None], text.rope_cos, text.rope_sin, torch.tensor([0]))
    logits: torch.Tensor = head(states[:, asked.deciding])[0]
    return logits


@pytest.mark.parametrize("source", [TIED, UNTIED], ids=["tied", "untied"])
def test_units_make_the_graphs_logits(source: RandomSource) -> None:
    model = EagerModel(source, QUESTIONS)
    expected = torch.cat([graph_logits(source, asked) for asked in QUESTIONS])
    assert torch.allclose(model.run(0, torch.empty(0)), expected, atol=1e-4)


@pytest.mark.parametrize("source", [TIED, UNTIED], ids=["tied", "untied"])
def test_every_layer_is_exchanged_once_and_put_back(source: RandomSource) -> None:
    model = EagerModel(source, QUESTIONS)
    leaves = [leaf for unit in range(len(model)) for leaf in model.linears(unit)]
    assert len({leaf.layer for leaf in leaves}) == len(leaves) == 1 + 3 * 4 + 2 + 2 * 7 + 1
    before = model.run(0, torch.empty(0))
    other = {leaf.layer: Rounded(leaf.weight * 1.05, leaf.bias) for leaf in leaves}
    found = layer_divergences(model, other, lambda *_: None)
    assert found.keys() == other.keys()
    assert all(divergence > 1e-9 for divergence in found.values())
    assert torch.equal(model.run(0, torch.empty(0)), before)
    # One of them, by running everything again.
    leaf = next(leaf for leaf in leaves if leaf.layer == "vision_encoder.blocks.1.fc1")
    with model.exchanged(leaf, other[leaf.layer]):
        after = model.run(0, torch.empty(0))
    assert mean_divergence(before, after) == pytest.approx(found[leaf.layer], rel=1e-6)


def test_a_tied_head_changes_the_embeddings_too() -> None:
    found = {}
    for name, source in (("tied", TIED), ("untied", UNTIED)):
        model = EagerModel(source, QUESTIONS)
        head = next(
            leaf for unit in range(len(model)) for leaf in model.linears(unit) if leaf.layer == "lm_head"
        )
        with model.exchanged(head, Rounded(head.weight + 0.1, None)):
            hidden = model.step(4, torch.zeros(24, 64))  # the merger
        found[name] = hidden - model.step(4, torch.zeros(24, 64))
    assert float(found["tied"].max()) == pytest.approx(0.1, abs=1e-6)
    assert float(found["untied"].abs().max()) == 0


def test_divergence_of_two_coins() -> None:
    expected, got = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3), 0.0]])
    assert mean_divergence(expected, got) == pytest.approx(
        0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    )
    rows = 3 * expected.repeat(150, 1)
    assert mean_divergence(rows, got.repeat(150, 1)) == pytest.approx(mean_divergence(expected, got))
