"""What a share of noise in a layer's output does to the answer, where that is not measured.

KL = factor / blocks x noise, since a block adds one of so many shares to the sum of all. The factors are
medians of what divergence.py measured on the tiny model, gptq over round-to-nearest noise
(docs/decisions/0007-mixed-precision.md). For another model they say which kinds of layers matter more, and
only roughly by how much the KL grows.
"""

from pocketvl.runtime.geometry import ModelGeometry

_VISION = {"qkv": 0.06, "proj": 0.015, "fc1": 0.02, "fc2": 0.055}
_TEXT = {
    "q_proj": 0.015,
    "k_proj": 0.025,
    "v_proj": 0.07,
    "o_proj": 0.05,
    "gate_proj": 0.045,
    "up_proj": 0.035,
    "down_proj": 0.045,
}
_SINGLE = {
    "vision_encoder.patch_embed": 0.015,
    "vision_encoder.merger.fc1": 0.025,
    "vision_encoder.merger.fc2": 0.015,
    "lm_head": 0.12,
}


def kl_factor(layer: str, geometry: ModelGeometry) -> float:
    """Nats of KL for noise as large as the layer's output."""
    if layer in _SINGLE:
        return _SINGLE[layer]
    kind = layer.rpartition(".")[2]
    if layer.startswith("vision_encoder."):
        return _VISION[kind] / geometry.vision.depth
    return _TEXT[kind] / geometry.text.num_layers
