"""The names and shapes of every tensor of a Qwen2-VL checkpoint, in the hub's naming."""

from collections.abc import Iterable

from pocketvl.export.layers import Layer, decoder_layer, lm_head, merger, patch_embed, vision_block
from pocketvl.runtime.bundle.geometry import ModelGeometry, TextGeometry, VisionGeometry

Shapes = dict[str, tuple[int, ...]]

EMBEDDING = "model.embed_tokens.weight"
LM_HEAD = "lm_head.weight"


def expected_tensors(geometry: ModelGeometry) -> Shapes:
    """Hub name -> shape, in the order of the forward pass. A tied model has no `lm_head.weight`."""
    text = geometry.text
    shapes = _vision(geometry.vision)
    shapes[EMBEDDING] = (text.vocab_size, text.hidden_size)
    for index in range(text.num_layers):
        shapes |= _decoder_layer(text, index)
    shapes["model.norm.weight"] = (text.hidden_size,)
    if not text.tie_word_embeddings:
        shapes |= _linears([lm_head(text)])
    return shapes


def stored_names(name: str) -> tuple[str, str]:
    """The names under which a checkpoint may store the hub's `name`: the hub's, then transformers 5's."""
    if name.startswith("visual."):
        return name, f"model.{name}"
    if name.startswith("model."):
        return name, name.replace("model.", "model.language_model.", 1)
    return name, name


def _vision(vision: VisionGeometry) -> Shapes:
    patch, frames = vision.patch_size, vision.temporal_patch_size
    convolution = (vision.hidden_size, vision.in_channels, frames, patch, patch)
    shapes: Shapes = {f"{patch_embed(vision).source}.weight": convolution}
    for index in range(vision.depth):
        shapes |= _layer_norm(f"visual.blocks.{index}.norm1", vision.hidden_size)
        shapes |= _layer_norm(f"visual.blocks.{index}.norm2", vision.hidden_size)
        shapes |= _linears(vision_block(vision, index))
    shapes |= _layer_norm("visual.merger.ln_q", vision.hidden_size)
    return shapes | _linears(merger(vision))


def _decoder_layer(text: TextGeometry, index: int) -> Shapes:
    q, k, v, o, *mlp = decoder_layer(text, index)
    return {
        f"model.layers.{index}.input_layernorm.weight": (text.hidden_size,),
        **_linears([q, k, v, o]),
        f"model.layers.{index}.post_attention_layernorm.weight": (text.hidden_size,),
        **_linears(mlp),
    }


def _linears(layers: Iterable[Layer]) -> Shapes:
    shapes: Shapes = {}
    for layer in layers:
        shapes[f"{layer.source}.weight"] = (layer.out_features, layer.in_features)
        if layer.bias:
            shapes[f"{layer.source}.bias"] = (layer.out_features,)
    return shapes


def _layer_norm(prefix: str, features: int) -> Shapes:
    return {f"{prefix}.weight": (features,), f"{prefix}.bias": (features,)}
