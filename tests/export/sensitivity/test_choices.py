"""What each layer may take."""

from pocketvl.export.sensitivity.probe import CHOICES, layer_choices
from pocketvl.quant.recipe import Precision
from tests.support.checkpoints import SMALL_GEOMETRY


def test_groups_divide_the_inputs() -> None:
    choices = layer_choices(SMALL_GEOMETRY, {})
    assert choices["vision_encoder.patch_embed"] == (Precision(8),)  # 1176 inputs
    assert choices["text_decoder.layers.0.q_proj"] == (Precision(4, 32), Precision(8))  # 96
    assert choices["vision_encoder.blocks.0.qkv"] == (Precision(4, 64), Precision(4, 32), Precision(8))  # 64
    assert choices["vision_encoder.merger.fc1"] == CHOICES  # 256
    assert len(choices) == 1 + 3 * 4 + 2 + 2 * 7 + 1


def test_what_a_packed_checkpoint_decides_is_no_choice() -> None:
    fixed = {"text_decoder.layers.1.up_proj": Precision(4, 32)}
    assert layer_choices(SMALL_GEOMETRY, fixed)["text_decoder.layers.1.up_proj"] == (Precision(4, 32),)
