"""What is asked of the model beside the next token, so that it learns to see sooner."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from tiny_batches import Batch


def token_loss(
    helper: torch.nn.Module, images: torch.Tensor, parts: np.ndarray, places: np.ndarray
) -> torch.Tensor:
    """How badly ``helper`` tells from each image token [images, tokens, hidden] what it shows and where.

    An answer of one word says little to an encoder that still sees nothing; this reaches every token.
    """
    return _told_loss(helper(images.float()), torch.from_numpy(parts), torch.from_numpy(places))


def word_loss(helper: torch.nn.Module, middle: torch.Tensor, batch: Batch) -> torch.Tensor:
    """How badly ``helper`` tells from the last word of a question, half way up the decoder, what it names.

    Finding a part by its name and carrying it to the answer are two steps, each useless without the other;
    this makes the first one useful by itself. middle: [size, length, hidden].
    """
    words = torch.from_numpy(batch.words)
    if len(words) == 0:
        return middle.sum() * 0
    found = middle[words[:, 0], words[:, 1]].float()
    told = helper(F.rms_norm(found, (found.shape[-1],)))
    return _told_loss(told, torch.from_numpy(batch.word_parts), torch.from_numpy(batch.word_boxes))


def order_loss(helper: torch.nn.Module, early: torch.Tensor, batch: Batch, token: int) -> torch.Tensor:
    """How badly ``helper`` tells after one layer of the decoder which of two images a token belongs to.

    The encoder sees each image alone, so that only the decoder can know. early: [size, length, hidden].
    """
    inside = torch.from_numpy(batch.ids) == token
    each = batch.parts.shape[1]
    second = (inside.cumsum(1) > each)[inside]
    several = (inside.sum(1, keepdim=True) > each).expand_as(inside)[inside]
    if not several.any():
        return early.sum() * 0
    found = early[inside][several].float()
    told = helper(F.rms_norm(found, (found.shape[-1],)))
    return F.cross_entropy(told, second[several].long())


def _told_loss(told: torch.Tensor, names: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    count = names.shape[-1]
    named = F.binary_cross_entropy_with_logits(told[..., :count], names, pos_weight=torch.tensor(3.0))
    known = ~places.isnan()
    placed = (told[..., count:][known] - places[known]).abs().mean()
    return 10 * named + 2 * placed
