"""Merged rules give every layer the bits that it had, in few words."""

from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from pocketvl.export.layers import linear_layers
from pocketvl.export.sensitivity.plan import merge_rules, number_patterns
from pocketvl.export.sensitivity.probe import layer_choices
from pocketvl.quant.recipe import Precision, Recipe, Rule
from tests.support.random_source import FULL

CHOICES = layer_choices(FULL, {})
MIXES = st.fixed_dictionaries({layer: st.sampled_from(own) for layer, own in CHOICES.items()})


@given(MIXES)
def test_every_layer_keeps_its_bits(precisions: dict[str, Precision]) -> None:
    recipe = Recipe("merged", "rtn", merge_rules(precisions))
    for layer in linear_layers(FULL):
        assert recipe.precision(layer.name, layer.in_features) == precisions[layer.name]


def test_neighbours_and_kinds_share_a_rule() -> None:
    precisions = {layer: own[-1] for layer, own in CHOICES.items()}
    for layer in precisions:
        if layer.endswith("down_proj"):
            precisions[layer] = Precision(4, 64)
    for number in (3, 10, 11, 12):
        precisions[f"text_decoder.layers.{number}.q_proj"] = Precision(4, 32)
    assert merge_rules(precisions) == (
        Rule("text_decoder.layers.3.q_proj", Precision(4, 32)),
        Rule("text_decoder.layers.1[0-2].q_proj", Precision(4, 32)),
        Rule("text_decoder.layers.*.down_proj", Precision(4, 64)),
        Rule("vision_encoder.*", Precision(8)),
        Rule("text_decoder.*", Precision(8)),
        Rule("lm_head", Precision(8)),
    )


@given(st.sets(st.integers(0, 130), min_size=1))
def test_patterns_match_these_numbers_and_no_others(numbers: set[int]) -> None:
    patterns = list(number_patterns(sorted(numbers)))
    matched = {number for number in range(2000) if any(fnmatchcase(str(number), p) for p in patterns)}
    assert matched == numbers
