"""Recipes survive being written and read, and a wrong file is named with what is wrong in it."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketvl.quant.recipe import (
    CALIBRATED_METHODS,
    METHODS,
    NAMED_RECIPES,
    Calibration,
    Precision,
    Recipe,
    Rule,
    named_recipe,
)
from pocketvl.quant.recipe_file import load_recipe, recipe_toml
from pocketvl.runtime.errors import RecipeError

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
BITS = st.sampled_from([Precision(32), Precision(16), Precision(8), Precision(4, 32), Precision(4, 128)])
GROUPS = st.sampled_from([Precision(4, 32), Precision(4, 64), Precision(4, 96), Precision(4, 128)])
RECIPES = st.builds(
    Recipe,
    TEXTS,
    st.sampled_from(METHODS),
    st.lists(
        st.builds(Rule, TEXTS, BITS)
        | st.builds(Rule, TEXTS, GROUPS, st.lists(GROUPS, max_size=2).map(tuple)),
        min_size=1,
        max_size=4,
        unique_by=lambda rule: rule.pattern,
    )
    .filter(lambda rules: all(rule.pattern != "*" for rule in rules[:-1]))
    .map(tuple),
    st.builds(
        Calibration,
        st.none() | TEXTS,
        st.integers(1, 10**6),
        st.integers(0, 2**31),
        st.floats(0, 100),
        st.floats(1e-6, 10),
        st.booleans(),
    ),
)


@given(RECIPES)
def test_a_written_recipe_is_read_as_it_was(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe) -> None:
    path = tmp_path_factory.mktemp("recipes") / "r.toml"
    path.write_text(recipe_toml(recipe), encoding="utf-8")
    expected = recipe if recipe.calibrated else dataclasses.replace(recipe, calibration=Calibration())
    assert load_recipe(str(path)) == expected
    assert load_recipe(str(path)).fingerprint() == recipe.fingerprint()


def test_names_and_methods() -> None:
    assert [load_recipe(name).rules for name in NAMED_RECIPES] == [
        named_recipe(name).rules for name in NAMED_RECIPES
    ]
    assert load_recipe("int4-small-rtn") == dataclasses.replace(
        named_recipe("int4-small"), name="int4-small-rtn"
    )
    assert load_recipe("int8").method == load_recipe("fp16").method == "rtn"
    assert load_recipe("int4").method == load_recipe("int4-small").method == "gptq"
    assert load_recipe("int4", "hqq").method == "hqq"
    assert load_recipe("int4", "gptq").calibrated
    assert not load_recipe("fp32", "gptq").calibrated


def test_the_fingerprint_says_what_decides_integers() -> None:
    recipe = named_recipe("int4", CALIBRATED_METHODS[0])
    other_data = dataclasses.replace(recipe, calibration=Calibration(seed=1))
    prints = {
        recipe.fingerprint(),
        other_data.fingerprint(),
        named_recipe("int4").fingerprint(),
        named_recipe("int8").fingerprint(),
    }
    assert len(prints) == 4
    assert dataclasses.replace(recipe, name="other").fingerprint() == recipe.fingerprint()
    rtn = named_recipe("int4")
    assert dataclasses.replace(rtn, calibration=Calibration(seed=1)).fingerprint() == rtn.fingerprint()


def test_single_layers_get_other_bits() -> None:
    recipe = named_recipe("int4").with_layers({"text_decoder.layers.3.q_proj": Precision(8)}, "mixed")
    assert recipe.name == "mixed"
    assert recipe.precision("text_decoder.layers.3.q_proj", 64) == Precision(8)
    assert recipe.precision("text_decoder.layers.2.q_proj", 64) == Precision(4, 32)


def test_groups_that_divide() -> None:
    fast = named_recipe("int4-fast")
    assert fast.precision("text_decoder.layers.3.down_proj", 8960) == Precision(4, 128)
    assert fast.precision("lm_head", 192) == Precision(4, 64)
    assert fast.precision("lm_head", 96) == Precision(4, 32)
    assert fast.precision("vision_encoder.blocks.0.qkv", 1280) == Precision(8)
    with pytest.raises(RecipeError, match="lm_head has 80 inputs, which 4-bit groups of 32 do not divide"):
        fast.precision("lm_head", 80)
    with pytest.raises(RecipeError, match="Only 4 bits come in groups"):
        Rule("*", Precision(8), (Precision(4, 32),))


GOOD = 'name = "a"\nmethod = "rtn"\n[[rule]]\nlayers = "*"\nbits = 8\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name = ", "not valid TOML"),
        ("", "lacks the key 'rule'"),
        ('name = "a"\nmethod = "rtn"\nrule = []', "no \\[\\[rule\\]\\]"),
        (GOOD + "group = 3\n", "rule 1 has the unknown key 'group'"),
        (GOOD + "group_size = 32\n", "rule 1: 8 bits take no group size"),
        (GOOD + "group_size = [128, 64]\n", "rule 1: 8 bits take no group size"),
        (GOOD.replace("bits = 8", "bits = 4\ngroup_size = []"), "rule 1: 'group_size' must be int or a list"),
        (GOOD.replace("bits = 8", "bits = 4\ngroup_size = [true]"), "rule 1: 'group_size' must be int or"),
        (GOOD.replace("bits = 8", "bits = 4\ngroup_size = '64'"), "rule 1: 'group_size' must be int or a"),
        (GOOD.replace("bits = 8", "bits = 4"), "rule 1: 4 bits need a group size"),
        (GOOD.replace("bits = 8", 'bits = "8"'), "'bits' must be int"),
        (GOOD.replace("rtn", "magic"), "'magic' is no quantization method"),
        (GOOD + "[calibration]\nsamples = 0\n", "calibration: calibration needs at least one sample"),
        (GOOD + "[calibration]\nsampels = 3\n", "unknown key 'sampels'"),
        (GOOD + "[calibration]\ndamping = -1.0\n", "damping must be positive"),
        (GOOD + "exclude = ['lm_head']\n", "rule 1 has the unknown key 'exclude'; known are layers, bits"),
        (
            GOOD + '[[rule]]\nlayers = "lm_head"\nbits = 4\ngroup_size = 32',
            "'lm_head' is never reached, as rule 1",
        ),
        (
            GOOD.replace('"*"', '"lm_head"') * 1 + '[[rule]]\nlayers = "lm_head"\nbits = 32',
            "rule 2: 'lm_head' is n",
        ),
        (GOOD + '[[rule]]\nlayers = "*"\nbits = 32', "rule 2: '\\*' is never reached"),
        ("rule = [3]\nname = 'a'\nmethod = 'rtn'", "rule 1 must be a table"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(content)
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(str(path))
    assert "quantization method" in message or str(path) in str(caught.value)


LAYERS = [
    *(
        f"vision_encoder.blocks.{index}.{name}"
        for index in range(3)
        for name in ("qkv", "proj", "fc1", "fc2")
    ),
    *(f"text_decoder.layers.{index}.{name}" for index in range(2) for name in ("q_proj", "down_proj")),
    "lm_head",
]


@pytest.mark.parametrize(
    ("pattern", "near"),
    [
        ("text_decoder.layer.*.q_proj", "text_decoder.layers.1.q_proj"),
        ("text_decoder.layers.2.*", "text_decoder.layers.1.q_proj"),
        ("Lm_head", "lm_head"),
        ("visual.blocks.0.attn.qkv", "vision_encoder.blocks.0.qkv"),
        ("", "vision_encoder.blocks.0.qkv"),
        ("[", "text_decoder.layers"),
    ],
)
def test_a_rule_for_no_layer_is_named_with_layers_that_there_are(pattern: str, near: str) -> None:
    recipe = Recipe("mine", "rtn", (Rule(pattern, Precision(8)), Rule("*", Precision(32))))
    with pytest.raises(RecipeError) as caught:
        recipe.check_rules(LAYERS)
    assert f"the rule {pattern!r} of the recipe 'mine' matches no layer" in str(caught.value)
    assert near in str(caught.value)


def test_rules_for_some_layer() -> None:
    for name in NAMED_RECIPES:
        named_recipe(name).check_rules(["vision_encoder.patch_embed", *LAYERS])
    Recipe("mine", "rtn", (Rule("text_decoder.layers.[01].q_proj", Precision(8)),)).check_rules(LAYERS)


def test_no_such_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"'int3' is no recipe; known are fp32.*\.toml"):
        load_recipe("int3")
    with pytest.raises(RecipeError, match=r"missing\.toml does not exist"):
        load_recipe(str(tmp_path / "missing.toml"))
