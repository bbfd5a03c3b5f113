"""Weights that make up for what the layers before have lost, as far as a layer's inputs tell.

The inputs X of a layer behind rounded ones are not the X' of the float model. GPTQ keeps W X; what is wanted
is W X'. The weights W* that come nearest to it are a least-squares problem, and since |V X - W X'|^2 is
|(V - W*) X|^2 plus what no V can change, rounding W* instead of W is all that there is to do (GPTAQ, arXiv
2504.02692, and Qronos, arXiv 2505.11695, solve it column by column).
"""

from dataclasses import dataclass

import torch

from pocketvl.quant.hessian import Factor


@dataclass(frozen=True)
class Wanted:
    """What the float model has where a layer is decided. inputs (tokens, in): what its layer reads.

    missing (tokens, out): what its hidden states have over those that the layer adds to; None where it
    does not add to any.
    """

    inputs: torch.Tensor
    missing: torch.Tensor | None = None


@dataclass(frozen=True)
class Correction:
    """Weighted means over tokens. inputs (in, in): of (X' - X)^T X; outputs (out, in): of M^T X, M what is
    missing."""

    inputs: torch.Tensor
    outputs: torch.Tensor | None

    @classmethod
    def of(cls, wanted: Wanted, seen: torch.Tensor, token_weights: torch.Tensor) -> "Correction":
        """seen (tokens, in): what the layer reads on the phone; token_weights (tokens,)."""
        weighted = seen * (token_weights / token_weights.sum())[:, None]
        inputs = (wanted.inputs - seen).T @ weighted
        return cls(inputs, None if wanted.missing is None else wanted.missing.T @ weighted)

    def apply(self, weight: torch.Tensor, factor: Factor) -> torch.Tensor:
        """W* (out, in) for the layer's W. factor: of the second moments of what it reads, damped."""
        change = weight @ self.inputs
        if self.outputs is not None:
            change += self.outputs
        corrected = weight.clone()
        corrected[:, factor.order] += change[:, factor.order] @ factor.upper.T @ factor.upper
        return corrected
