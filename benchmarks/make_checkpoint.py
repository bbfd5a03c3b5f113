"""Write a random checkpoint with the geometry of Qwen2-VL-2B, for measurements where the real one is missing.

    python benchmarks/make_checkpoint.py FOLDER --tokenizer TOKENIZER_FOLDER

2.2 billion seeded bfloat16 weights, 4.4 GB. They are drawn and written piece by piece, so memory stays small.
"""

import argparse
import json
import struct
import sys
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from shutil import copyfile
from typing import Any

import torch

from pocketvl.export.layers import Shapes, expected_tensors
from pocketvl.export.tiny import checkpoint_folder
from pocketvl.runtime.bundle.geometry import ModelGeometry, TextGeometry, VisionGeometry

GEOMETRY = ModelGeometry(
    vision=VisionGeometry(
        depth=32,
        hidden_size=1280,
        intermediate_size=5120,
        num_heads=16,
        in_channels=3,
        patch_size=14,
        temporal_patch_size=2,
        spatial_merge_size=2,
        output_size=1536,
    ),
    text=TextGeometry(
        num_layers=28,
        hidden_size=1536,
        intermediate_size=8960,
        num_heads=12,
        num_kv_heads=2,
        head_dim=128,
        vocab_size=151936,
        rope_theta=1e6,
        rms_norm_eps=1e-6,
        mrope_section=(16, 24, 24),
        max_position_embeddings=32768,
        tie_word_embeddings=True,
    ),
)

# Of the published tokenizer.
TOKEN_IDS = {
    "image_token_id": 151655,
    "video_token_id": 151656,
    "vision_start_token_id": 151652,
    "vision_end_token_id": 151653,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
}

DEFAULT_TOKENIZER = Path(__file__).resolve().parents[2] / "shared" / "qwen2-vl-2b"
STANDARD_DEVIATION = 0.02
PIECE = 1 << 24  # values drawn at once: 64 MB as float32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write; made if it does not exist")
    parser.add_argument(
        "--tokenizer", type=Path, default=DEFAULT_TOKENIZER, help="folder with the tokenizer.json to copy"
    )
    parser.add_argument(
        "--shards", type=int, default=2, help="at most so many weight files (default 2, as on the hub)"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    tokenizer = options.tokenizer / "tokenizer.json"
    if not tokenizer.is_file():
        sys.exit(f"{tokenizer} does not exist; give --tokenizer the folder of a Qwen2-VL tokenizer.")
    if options.shards < 1:
        sys.exit("--shards must be at least 1.")
    options.folder.mkdir(parents=True, exist_ok=True)
    copyfile(tokenizer, options.folder / "tokenizer.json")
    write_settings(options.folder)
    write_weights(options.folder, options.shards, options.seed)
    # Last, so that a folder whose writing was interrupted does not pass for a checkpoint.
    write_json(options.folder / "config.json", config(GEOMETRY, "bfloat16", TOKEN_IDS))


def write_settings(folder: Path) -> None:
    # The tiny checkpoint's, which has the Instruct model's turns: Kotlin and Swift know those two alone.
    copyfile(checkpoint_folder() / "chat_template.jinja", folder / "chat_template.jinja")
    write_json(
        folder / "generation_config.json",
        {"bos_token_id": TOKEN_IDS["bos_token_id"], "eos_token_id": [151645, 151643], "do_sample": False},
    )
    write_json(
        folder / "preprocessor_config.json",
        {
            "min_pixels": 3136,
            "max_pixels": 12845056,
            "patch_size": 14,
            "temporal_patch_size": 2,
            "merge_size": 2,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "image_processor_type": "Qwen2VLImageProcessor",
            "processor_class": "Qwen2VLProcessor",
        },
    )


def config(geometry: ModelGeometry, dtype: str, token_ids: Mapping[str, int]) -> dict[str, Any]:
    """config.json in the hub's flat form. token_ids: of TOKEN_IDS' keys."""
    text, vision = geometry.text, geometry.vision
    return {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "model_type": "qwen2_vl",
        **token_ids,
        "hidden_act": "silu",
        "hidden_size": text.hidden_size,
        "intermediate_size": text.intermediate_size,
        "num_hidden_layers": text.num_layers,
        "num_attention_heads": text.num_heads,
        "num_key_value_heads": text.num_kv_heads,
        "vocab_size": text.vocab_size,
        "max_position_embeddings": text.max_position_embeddings,
        "rms_norm_eps": text.rms_norm_eps,
        "rope_theta": text.rope_theta,
        "rope_scaling": {"type": "mrope", "mrope_section": list(text.mrope_section)},
        "tie_word_embeddings": text.tie_word_embeddings,
        "use_sliding_window": False,
        "torch_dtype": dtype,
        "vision_config": {
            "model_type": "qwen2_vl_vision",
            "depth": vision.depth,
            "embed_dim": vision.hidden_size,
            "hidden_size": vision.output_size,
            "hidden_act": "quick_gelu",
            "mlp_ratio": vision.intermediate_size // vision.hidden_size,
            "num_heads": vision.num_heads,
            "in_chans": vision.in_channels,
            "patch_size": vision.patch_size,
            "spatial_merge_size": vision.spatial_merge_size,
            "temporal_patch_size": vision.temporal_patch_size,
        },
    }


def write_weights(folder: Path, shards: int, seed: int) -> None:
    """model.safetensors, or shards of about equal size with their index."""
    generator = torch.Generator().manual_seed(seed)
    parts = list(split(expected_tensors(GEOMETRY), shards))
    if len(parts) == 1:
        write_shard(folder / "model.safetensors", parts[0], generator)
        return
    weight_map: dict[str, str] = {}
    for number, part in enumerate(parts, start=1):
        file = f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        write_shard(folder / file, part, generator)
        weight_map |= dict.fromkeys(part, file)
    total = sum(2 * prod(shape) for part in parts for shape in part.values())
    write_json(
        folder / "model.safetensors.index.json",
        {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))},
    )


def split(shapes: Shapes, shards: int) -> Iterator[Shapes]:
    limit = sum(prod(shape) for shape in shapes.values()) / shards
    part: Shapes = {}
    for name, shape in shapes.items():
        part[name] = shape
        if sum(prod(shape) for shape in part.values()) >= limit:
            yield part
            part = {}
    if part:
        yield part


def write_shard(path: Path, shapes: Shapes, generator: torch.Generator) -> None:
    """One safetensors file of bfloat16."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, shape in shapes.items():
        end = position + 2 * prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the data to 8 bytes
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            for piece in random_pieces(name, shape, generator):
                file.write(piece.view(torch.uint8).numpy().data)


def random_pieces(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Iterator[torch.Tensor]:
    """The values of a tensor, in order, as flat bfloat16 pieces: norms around one, all else around zero."""
    centre = 1.0 if len(shape) == 1 and name.endswith("weight") else 0.0
    total = prod(shape)
    for start in range(0, total, PIECE):
        values = torch.empty(min(PIECE, total - start))
        yield values.normal_(centre, STANDARD_DEVIATION, generator=generator).to(torch.bfloat16)


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
