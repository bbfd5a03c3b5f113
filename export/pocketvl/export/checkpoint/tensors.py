"""The names and shapes of every tensor of a Qwen2-VL checkpoint, in the hub's naming."""

from pocketvl.runtime.geometry import ModelGeometry, TextGeometry, VisionGeometry

Shapes = dict[str, tuple[int, ...]]

EMBEDDING = "model.embed_tokens.weight"
LM_HEAD = "lm_head.weight"


def expected_tensors(geometry: ModelGeometry) -> Shapes:
    """Hub name -> shape, in the order of the forward pass. A tied model has no `lm_head.weight`."""
    text = geometry.text
    shapes = _vision(geometry.vision)
    shapes[EMBEDDING] = (text.vocab_size, text.hidden_size)
    for layer in range(text.num_layers):
        shapes |= _decoder_layer(f"model.layers.{layer}", text)
    shapes["model.norm.weight"] = (text.hidden_size,)
    if not text.tie_word_embeddings:
        shapes[LM_HEAD] = (text.vocab_size, text.hidden_size)
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
    shapes: Shapes = {
        "visual.patch_embed.proj.weight": (vision.hidden_size, vision.in_channels, frames, patch, patch)
    }
    for block in range(vision.depth):
        shapes |= _vision_block(f"visual.blocks.{block}", vision.hidden_size, vision.intermediate_size)
    merged = vision.hidden_size * vision.merge_area
    shapes |= _layer_norm("visual.merger.ln_q", vision.hidden_size)
    shapes |= _linear("visual.merger.mlp.0", merged, merged)
    shapes |= _linear("visual.merger.mlp.2", vision.output_size, merged)
    return shapes


def _vision_block(prefix: str, hidden: int, intermediate: int) -> Shapes:
    return {
        **_layer_norm(f"{prefix}.norm1", hidden),
        **_layer_norm(f"{prefix}.norm2", hidden),
        **_linear(f"{prefix}.attn.qkv", 3 * hidden, hidden),
        **_linear(f"{prefix}.attn.proj", hidden, hidden),
        **_linear(f"{prefix}.mlp.fc1", intermediate, hidden),
        **_linear(f"{prefix}.mlp.fc2", hidden, intermediate),
    }


def _decoder_layer(prefix: str, text: TextGeometry) -> Shapes:
    hidden, intermediate = text.hidden_size, text.intermediate_size
    queries, keys = text.num_heads * text.head_dim, text.num_kv_heads * text.head_dim
    return {
        f"{prefix}.input_layernorm.weight": (hidden,),
        **_linear(f"{prefix}.self_attn.q_proj", queries, hidden),
        **_linear(f"{prefix}.self_attn.k_proj", keys, hidden),
        **_linear(f"{prefix}.self_attn.v_proj", keys, hidden),
        f"{prefix}.self_attn.o_proj.weight": (hidden, queries),
        f"{prefix}.post_attention_layernorm.weight": (hidden,),
        f"{prefix}.mlp.gate_proj.weight": (intermediate, hidden),
        f"{prefix}.mlp.up_proj.weight": (intermediate, hidden),
        f"{prefix}.mlp.down_proj.weight": (hidden, intermediate),
    }


def _linear(prefix: str, out_features: int, in_features: int) -> Shapes:
    return {f"{prefix}.weight": (out_features, in_features), f"{prefix}.bias": (out_features,)}


def _layer_norm(prefix: str, features: int) -> Shapes:
    return {f"{prefix}.weight": (features,), f"{prefix}.bias": (features,)}
