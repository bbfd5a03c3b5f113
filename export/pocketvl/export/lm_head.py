"""From hidden states to logits."""

import torch
from torch import nn

from pocketvl.export.modules import linear
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime.geometry import TextGeometry


class LMHead(nn.Module):
    """hidden (1, K, D), after the final norm, to logits (1, K, vocabulary)."""

    def __init__(self, geometry: TextGeometry, recipe: Recipe) -> None:
        super().__init__()
        self.head = linear("lm_head", "lm_head", geometry.vocab_size, geometry.hidden_size, False, recipe)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(hidden)
        return logits
