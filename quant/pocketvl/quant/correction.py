"""Weights that make up for what the layers before have lost, as far as a layer's inputs tell.

The inputs X of a layer behind rounded ones are not the X' of the float model. GPTQ keeps W X; what is wanted
is W X'. The weights W* that come nearest to it are a least-squares problem, and since |V X - W X'|^2 is
|(V - W*) X|^2 plus what no V can change, rounding W* instead of W is all that there is to do (GPTAQ, arXiv
2504.02692, solves it column by column). Part of what W* finds is the calibration data's own, so only a share
of the way to it is taken.
"""

from dataclasses import dataclass

import torch

from pocketvl.quant.hessian import Factor


@dataclass(frozen=True)
class Correction:
    """moments (in, in), float32: the weighted mean over tokens of (X' - X)^T X."""

    moments: torch.Tensor

    @classmethod
    def of(
        cls, wanted: torch.Tensor, x: torch.Tensor, seen: torch.Tensor, token_weights: torch.Tensor
    ) -> "Correction":
        """wanted (tokens, in): what the float model's layer reads; x: what the rounded one's does; seen: the
        same in 8 bits. token_weights (tokens,). The noise of 8 bits is nothing to make up for."""
        weighted = seen * (token_weights / token_weights.sum())[:, None]
        return cls((wanted - x).T @ weighted)

    def apply(self, weight: torch.Tensor, factor: Factor, share: float) -> torch.Tensor:
        """(out, in): the weight, moved by `share` of the way to W*. factor: of the damped moments of what the
        layer reads."""
        change = (weight @ self.moments)[:, factor.order] @ factor.upper.T @ factor.upper
        corrected = weight.clone()
        corrected[:, factor.order] += share * change
        return corrected
