"""LoRA adapters in PEFT's form for checkpoints of SMALL_GEOMETRY."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

# Module, as the hub names it: outputs, inputs. Decoder, vision blocks and merger of SMALL_GEOMETRY.
MODULES = {
    "model.layers.0.self_attn.q_proj": (96, 96),
    "model.layers.1.self_attn.k_proj": (32, 96),
    "model.layers.1.mlp.down_proj": (96, 160),
    "visual.blocks.2.attn.qkv": (192, 64),
    "visual.blocks.0.mlp.fc2": (64, 128),
    "visual.merger.mlp.0": (256, 256),
}


def transformers5(module: str) -> str:
    if module.startswith("visual"):
        return f"model.{module}"
    return module.replace("model.", "model.language_model.", 1)


def write_adapter(
    folder: Path,
    modules: dict[str, tuple[int, int]] = MODULES,
    *,
    ranks: dict[str, int] | None = None,
    newer_names: bool = False,
    middle: str = "",
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    **config: Any,
) -> dict[str, torch.Tensor]:
    """Write the two files; returns module -> B A in float64, without the scale. ranks: 4 unless given."""
    generator = torch.Generator().manual_seed(seed)
    stored, products = {}, {}
    for module, (out_features, in_features) in modules.items():
        rank = (ranks or {}).get(module, 4)
        a = (torch.randn(rank, in_features, generator=generator) * 0.1).to(dtype)
        b = (torch.randn(out_features, rank, generator=generator) * 0.1).to(dtype)
        prefix = f"base_model.model.{transformers5(module) if newer_names else module}"
        stored |= {f"{prefix}.lora_A{middle}.weight": a, f"{prefix}.lora_B{middle}.weight": b}
        products[module] = torch.from_numpy(b.double().numpy() @ a.double().numpy())
    folder.mkdir(parents=True, exist_ok=True)
    save_file(stored, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    settings = {
        "peft_type": "LORA",
        "base_model_name_or_path": "someone/base",
        "r": 4,
        "lora_alpha": 8,
        "target_modules": sorted({module.split(".")[-1] for module in modules}),
        "bias": "none",
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "rank_pattern": {},
        "alpha_pattern": {},
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings | config))
    return products
