"""The layers of a model, from its geometry: the one table of their names, tensors and shapes."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import ModelGeometry, TextGeometry, VisionGeometry

Shapes = dict[str, tuple[int, ...]]

EMBEDDING = "model.embed_tokens.weight"
LM_HEAD = "lm_head.weight"
FINAL_NORM = "model.norm.weight"
HEAD_ROTATION = f"{names.LM_HEAD}.rotation"


@dataclass(frozen=True)
class Layer:
    """name: as recipes call it, text_decoder.layers.0.q_proj; source: the hub's name of its tensors without
    ".weight", model.layers.0.self_attn.q_proj."""

    name: str
    source: str
    out_features: int
    in_features: int
    bias: bool

    @property
    def component(self) -> str:
        """vision_encoder, text_decoder or lm_head."""
        return self.name.partition(".")[0]

    @property
    def kind(self) -> str:
        """What the layer is called inside its block: q_proj."""
        return self.name.rpartition(".")[2]

    @property
    def weights(self) -> int:
        """How many there are, biases not counted."""
        return self.out_features * self.in_features


@cache
def linear_layers(geometry: ModelGeometry, rotated: bool = False) -> tuple[Layer, ...]:
    """Every linear layer, in the order of the forward pass. rotated: of a component.RotatedSource."""
    vision, text = geometry.vision, geometry.text
    blocks = [layer for index in range(vision.depth) for layer in vision_block(vision, index)]
    layers = [layer for index in range(text.num_layers) for layer in decoder_layer(text, index)]
    before = (head_rotation(text),) if rotated and text.tie_word_embeddings else ()
    return (patch_embed(vision), *blocks, *merger(vision), *layers, *before, lm_head(text))


def patch_embed(vision: VisionGeometry) -> Layer:
    """In the checkpoint a 3-D convolution whose stride is its kernel, which is a linear layer."""
    return Layer(
        f"{names.VISION_ENCODER}.patch_embed",
        "visual.patch_embed.proj",
        vision.hidden_size,
        vision.patch_dim,
        bias=False,
    )


def vision_block(vision: VisionGeometry, index: int) -> tuple[Layer, ...]:
    """qkv, proj, fc1, fc2."""
    width, ffn = vision.hidden_size, vision.intermediate_size
    name, source = f"{names.VISION_ENCODER}.blocks.{index}", f"visual.blocks.{index}"
    return (
        Layer(f"{name}.qkv", f"{source}.attn.qkv", 3 * width, width, bias=True),
        Layer(f"{name}.proj", f"{source}.attn.proj", width, width, bias=True),
        Layer(f"{name}.fc1", f"{source}.mlp.fc1", ffn, width, bias=True),
        Layer(f"{name}.fc2", f"{source}.mlp.fc2", width, ffn, bias=True),
    )


def merger(vision: VisionGeometry) -> tuple[Layer, ...]:
    """fc1, fc2."""
    merged = vision.hidden_size * vision.merge_area
    name, source = f"{names.VISION_ENCODER}.merger", "visual.merger.mlp"
    return (
        Layer(f"{name}.fc1", f"{source}.0", merged, merged, bias=True),
        Layer(f"{name}.fc2", f"{source}.2", vision.output_size, merged, bias=True),
    )


def decoder_layer(text: TextGeometry, index: int) -> tuple[Layer, ...]:
    """q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj."""
    width, ffn = text.hidden_size, text.intermediate_size
    queries, keys = text.num_heads * text.head_dim, text.num_kv_heads * text.head_dim
    name, source = f"{names.TEXT_DECODER}.layers.{index}", f"model.layers.{index}"
    attention, mlp = f"{source}.self_attn", f"{source}.mlp"
    return (
        Layer(f"{name}.q_proj", f"{attention}.q_proj", queries, width, bias=True),
        Layer(f"{name}.k_proj", f"{attention}.k_proj", keys, width, bias=True),
        Layer(f"{name}.v_proj", f"{attention}.v_proj", keys, width, bias=True),
        Layer(f"{name}.o_proj", f"{attention}.o_proj", width, queries, bias=False),
        Layer(f"{name}.gate_proj", f"{mlp}.gate_proj", ffn, width, bias=False),
        Layer(f"{name}.up_proj", f"{mlp}.up_proj", ffn, width, bias=False),
        Layer(f"{name}.down_proj", f"{mlp}.down_proj", width, ffn, bias=False),
    )


def lm_head(text: TextGeometry) -> Layer:
    """Where embeddings are tied its tensor is the table of embeddings."""
    return Layer(names.LM_HEAD, "lm_head", text.vocab_size, text.hidden_size, bias=False)


def head_rotation(text: TextGeometry) -> Layer:
    """What a rotated model's tied head has before it: adds what the final norm's weights require.

    The table of embeddings cannot take those weights in, since it is rotated for both its uses alike.
    """
    return Layer(HEAD_ROTATION, HEAD_ROTATION, text.hidden_size, text.hidden_size, bias=False)


def expected_tensors(geometry: ModelGeometry) -> Shapes:
    """Hub name -> shape, in the order of the forward pass. A tied model has no `lm_head.weight`."""
    text = geometry.text
    shapes = _vision(geometry.vision)
    shapes[EMBEDDING] = (text.vocab_size, text.hidden_size)
    for index in range(text.num_layers):
        shapes |= _decoder_layer(text, index)
    shapes[FINAL_NORM] = (text.hidden_size,)
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
