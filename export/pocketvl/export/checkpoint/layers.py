"""Linear layers by the names of recipes, and the tensors of the checkpoint behind them."""

from pocketvl.runtime import names
from pocketvl.runtime.geometry import ModelGeometry

_VISION = {"qkv": "attn.qkv", "proj": "attn.proj", "fc1": "mlp.fc1", "fc2": "mlp.fc2"}
_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")


def layer_sources(geometry: ModelGeometry) -> dict[str, str]:
    """Name in recipes (text_decoder.layers.0.q_proj) -> the hub's, without ".weight"
    (model.layers.0.self_attn.q_proj), in the order of the forward pass."""
    sources = {f"{names.VISION_ENCODER}.patch_embed": "visual.patch_embed.proj"}
    for index in range(geometry.vision.depth):
        block = f"{names.VISION_ENCODER}.blocks.{index}"
        sources |= {f"{block}.{name}": f"visual.blocks.{index}.{path}" for name, path in _VISION.items()}
    sources[f"{names.VISION_ENCODER}.merger.fc1"] = "visual.merger.mlp.0"
    sources[f"{names.VISION_ENCODER}.merger.fc2"] = "visual.merger.mlp.2"
    for index in range(geometry.text.num_layers):
        layer, source = f"{names.TEXT_DECODER}.layers.{index}", f"model.layers.{index}"
        sources |= {f"{layer}.{name}": f"{source}.self_attn.{name}" for name in _ATTENTION}
        sources |= {f"{layer}.{name}": f"{source}.mlp.{name}" for name in _FEED_FORWARD}
    sources[names.LM_HEAD] = "lm_head"
    return sources
