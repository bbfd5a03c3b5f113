"""The one representation of a quantized linear layer that every target writes unchanged."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class QuantizedLinear:
    """Symmetric integers with one float scale per group of inputs.

    weight[o, i] = integers[o, i] * scales[o, i // group_size]

    integers: int8 (out_features, in_features), in -8..7 for 4 bits; for 8 bits methods of this package
    stay in -127..127, others use -128, too.
    scales: float32 (out_features, in_features // group_size), finite and positive. Methods of this package
    choose scales of 4 bits that bfloat16 represents, the precision in which XNNPACK stores them, so that all
    targets agree; those of another's making may need float16 and are rounded for XNNPACK alone.
    """

    integers: NDArray[np.int8]
    scales: NDArray[np.float32]
    bits: int
    group_size: int

    def __post_init__(self) -> None:
        if self.bits not in (4, 8):
            raise ValueError(f"bits must be 4 or 8, not {self.bits}")
        if self.integers.dtype != np.int8 or self.integers.ndim != 2:
            raise ValueError(
                f"integers must be int8 (out, in), not {self.integers.dtype} {self.integers.shape}"
            )
        out_features, in_features = self.integers.shape
        if self.group_size < 1 or in_features % self.group_size:
            raise ValueError(f"group size {self.group_size} does not divide {in_features} inputs")
        expected = (out_features, in_features // self.group_size)
        if self.scales.dtype != np.float32 or self.scales.shape != expected:
            raise ValueError(
                f"scales must be float32 {expected}, not {self.scales.dtype} {self.scales.shape}"
            )
        if not np.isfinite(self.scales).all() or self.scales.min() <= 0:
            raise ValueError("scales must be finite and positive")
        if self.bits == 4 and (self.integers.min() < -8 or self.integers.max() > 7):
            raise ValueError("integers must lie in -8..7 for 4 bits")

    @property
    def out_features(self) -> int:
        return int(self.integers.shape[0])

    @property
    def in_features(self) -> int:
        return int(self.integers.shape[1])

    @property
    def per_channel(self) -> bool:
        """One scale an output channel."""
        return self.group_size == self.in_features

    def dequantize(self) -> NDArray[np.float32]:
        """float32 (out_features, in_features)."""
        groups = self.integers.reshape(self.out_features, -1, self.group_size).astype(np.float32)
        return (groups * self.scales[:, :, None]).reshape(self.out_features, self.in_features)
