"""How training begins: the first weights, and what steps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from tiny_batches import Batches
from tiny_files import model_config
from tiny_forward import patches
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration


def build_model(seed: int) -> Any:
    """A new model, started wider than the family's 0.02: at this width that would be almost silence."""
    torch.manual_seed(seed)
    model = Qwen2VLForConditionalGeneration(Qwen2VLConfig(**model_config()))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 1:
                continue
            fan = weight[0].numel()
            torch.nn.init.normal_(weight, std=0.05 if "embed_tokens" in name else fan**-0.5)
            if name.endswith(("o_proj.weight", "down_proj.weight", "attn.proj.weight", "fc2.weight")):
                weight.mul_(0.3)
    return model


@torch.no_grad()
def whiten_patches(model: Any, batches: Batches, shares: Mapping[str, float]) -> None:
    """Starts the patch embedding as the principal components of drawn patches, each about equally loud.

    A random start hears little but the paper: edges, which tell a letter, are a small part of a patch.
    """
    rows = [
        patches(torch.from_numpy(batches.training(number, shares).pixels)).reshape(-1, 588)
        for number in range(10**9, 10**9 + 40)
    ]
    values = torch.cat(rows).double()
    strength, directions = torch.linalg.eigh(values.T @ values / len(values))
    weight = model.model.visual.patch_embed.proj.weight
    count = weight.shape[0]
    strength, directions = strength.flip(0)[:count], directions.flip(1)[:, :count]
    print(f"patch strengths {[round(float(strength[place]), 3) for place in (0, 1, 5, 20, 60, 120, 191)]}")
    filters = (directions / (strength + strength[count // 3]).sqrt()).T
    # Both frames of a still image are the same, so each gets half.
    weight.copy_((filters / 2).view(count, 3, 1, 14, 14).expand_as(weight))


def build_optimizers(model: Any, helpers: torch.nn.ModuleDict) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside blocks, AdamW for the rest; three that can step side by side.

    Every group's ``factor`` times the rate is its own rate. The patch embedding's is small: neighbouring
    pixels are alike, so its steps add up, and loud patches drown what the blocks after it have to say.
    The merger's large square matrix would cost Muon as much as all the others together.
    """
    names = ("vision", "text", "patch", "merger", "rest")
    groups: dict[str, list[torch.nn.Parameter]] = {name: [] for name in names}
    for name, weight in model.named_parameters():
        if "patch_embed" in name:
            groups["patch"].append(weight)
        elif "merger" in name:
            groups["merger"].append(weight)
        elif weight.ndim == 2 and "embed" not in name:
            groups["vision" if "visual" in name else "text"].append(weight)
        else:
            groups["rest"].append(weight)
    groups["rest"] += helpers.parameters()
    muons = [
        torch.optim.Muon(
            [{"params": groups[name], "factor": factor}], weight_decay=0.02, adjust_lr_fn="match_rms_adamw"
        )
        for name, factor in (("vision", 1.0), ("text", 2.0))
    ]
    factors = {"patch": 0.01, "merger": 0.15, "rest": 0.33}
    others = [{"params": groups[name], "factor": factor} for name, factor in factors.items()]
    return [*muons, torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0, fused=True)]
