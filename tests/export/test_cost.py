"""How long an export takes, told before it: in proportion to the work, and the same sums everywhere."""

from dataclasses import replace

import pytest

from pocketvl.export.component import ExportSettings
from pocketvl.export.estimate import (
    Cost,
    calibration_cost,
    component_cost,
    export_cost,
    filling_weights,
    unit_cost,
)
from pocketvl.export.layer_plan import resolve
from pocketvl.quant.recipe import Calibration, named_recipe
from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import ImageSettings, ModelGeometry
from tests.support.checkpoints import SMALL_GEOMETRY

QWEN2_VL_2B = ModelGeometry(
    replace(
        SMALL_GEOMETRY.vision,
        depth=32,
        hidden_size=1280,
        intermediate_size=5120,
        num_heads=16,
        output_size=1536,
    ),
    replace(
        SMALL_GEOMETRY.text,
        num_layers=28,
        hidden_size=1536,
        intermediate_size=8960,
        num_heads=12,
        num_kv_heads=2,
        head_dim=128,
        vocab_size=151936,
        mrope_section=(16, 24, 24),
        max_position_embeddings=32768,
    ),
)
SETTINGS = ExportSettings()
IMAGE = ImageSettings(min_pixels=56 * 56, max_pixels=28 * 28 * 1280, mean=(0.5,) * 3, std=(0.5,) * 3)
CALIBRATED = replace(named_recipe("int4", "gptq"), calibration=Calibration("photos", 32))


@pytest.mark.parametrize("target", names.TARGETS)
@pytest.mark.parametrize("component", [names.VISION_ENCODER, names.TEXT_DECODER])
def test_a_larger_model_takes_longer(target: str, component: str) -> None:
    small, large = (
        sum(component_cost(target, component, geometry, SETTINGS).seconds)
        for geometry in (SMALL_GEOMETRY, QWEN2_VL_2B)
    )
    assert 0 < 1.3 * small < large < 3600


def test_weights_of_steps_are_seconds_of_tracing_and_quantizing() -> None:
    cost = Cost(quantize=8.0, trace=10.0, lower=1.0, check=1.0)
    weights = filling_weights(cost, {"a": 3, "b": 1}, (0.7, 0.3))
    assert weights == {"graph 0": 7.0, "graph 1": 3.0, "a": 6.0, "b": 2.0}


def test_static_shapes_take_a_conversion_each() -> None:
    costs = [
        component_cost(
            target,
            names.VISION_ENCODER,
            QWEN2_VL_2B,
            ExportSettings(buckets=buckets, vision_shapes=shapes),
        )
        for target, shapes, buckets in (
            (names.EXECUTORCH, "dynamic", (256, 576)),
            (names.EXECUTORCH, "buckets", (256, 576)),
            (names.COREML, "dynamic", (256,)),
            (names.COREML, "dynamic", (256, 576)),
        )
    ]
    assert costs[1].lower == 2 * costs[0].lower
    assert costs[3].lower == 2 * costs[2].lower
    assert costs[1].quantize == costs[0].quantize


def test_what_is_not_calibrated_takes_no_calibration() -> None:
    for recipe in (named_recipe("int4"), replace(named_recipe("int8", "gptq"), rotation=False)):
        assert calibration_cost(resolve(recipe, QWEN2_VL_2B), SETTINGS, IMAGE) == 0
    assert calibration_cost(resolve(CALIBRATED, QWEN2_VL_2B), SETTINGS, IMAGE) > 300


def test_calibration_grows_with_samples_their_size_and_the_layers_that_are_decided() -> None:
    def seconds(data: str = "photos", samples: int = 32, recipe: str = "int4") -> float:
        chosen = replace(named_recipe(recipe, "gptq"), calibration=Calibration(data, samples))
        return calibration_cost(resolve(chosen, QWEN2_VL_2B), SETTINGS, IMAGE)

    assert seconds("generated") < seconds("generated:448") < seconds()
    assert seconds("generated:448") < seconds("general", 128) < seconds()
    assert seconds(samples=64) > 1.5 * seconds()
    assert seconds(recipe="int4-small") > 1.1 * seconds()


def test_a_unit_that_only_runs_is_cheaper_than_one_that_is_decided() -> None:
    tower, layer = (
        [
            unit_cost(unit, 1000, 1000, resolve(named_recipe(recipe, method), QWEN2_VL_2B))
            for recipe, method in (("int8", "rtn"), ("int4-small", "gptq"))
        ]
        for unit in ("vision_encoder.blocks.1", "text_decoder.layers.1")
    )
    assert tower[0] < tower[1]
    assert layer[0] < layer[1]
    plan = resolve(CALIBRATED, QWEN2_VL_2B)
    ones = [unit_cost(f"text_decoder.layers.{index}", 9, 9, plan) for index in (1, 10)]
    assert ones[0] == ones[1]  # layer 1 is not layers 10 to 19 as well


def test_the_whole_is_the_sum_of_its_parts() -> None:
    plan = resolve(CALIBRATED, SMALL_GEOMETRY)
    cost, larger = (
        export_cost(names.ONNX, plan, SETTINGS, IMAGE, disk, together=False) for disk in (10**9, 2 * 10**9)
    )
    vision = component_cost(names.ONNX, names.VISION_ENCODER, SMALL_GEOMETRY, SETTINGS)
    assert cost.vision == sum(vision.seconds)
    assert cost.total == cost.start + cost.calibration + cost.vision + cost.text + cost.finish
    assert larger.finish == 2 * cost.finish > 0
    abreast = replace(cost, together=True)
    assert abreast.total == cost.start + cost.calibration + max(cost.vision, cost.text) + cost.finish
