"""Element by element, with numpy's broadcasting (iOS15 elementwise_binary, elementwise_unary, activation)."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.engines.coreml.tensor_type import DTYPES

Array = NDArray[Any]

_CASTS = {"fp16": "float32", "fp32": "float32"}  # float16 is computed in float32, and rounded by the runner
_erf = np.frompyfunc(math.erf, 1, 1)  # numpy has none


def add(x: Array, y: Array) -> Array:
    return np.add(x, y)


def sub(x: Array, y: Array) -> Array:
    return np.subtract(x, y)


def mul(x: Array, y: Array) -> Array:
    return np.multiply(x, y)


def real_div(x: Array, y: Array) -> Array:
    return np.asarray(np.true_divide(x, y))


def floor_div(x: Array, y: Array) -> Array:
    return np.asarray(np.floor_divide(x, y))


def mod(x: Array, y: Array) -> Array:
    return np.asarray(np.mod(x, y))


def power(x: Array, y: Array) -> Array:
    """MIL's `pow`."""
    return np.asarray(np.power(x, y))


def maximum(x: Array, y: Array) -> Array:
    return np.maximum(x, y)


def minimum(x: Array, y: Array) -> Array:
    return np.minimum(x, y)


def equal(x: Array, y: Array) -> Array:
    return np.equal(x, y)


def not_equal(x: Array, y: Array) -> Array:
    return np.not_equal(x, y)


def greater(x: Array, y: Array) -> Array:
    return np.greater(x, y)


def greater_equal(x: Array, y: Array) -> Array:
    return np.greater_equal(x, y)


def less(x: Array, y: Array) -> Array:
    return np.less(x, y)


def less_equal(x: Array, y: Array) -> Array:
    return np.less_equal(x, y)


def logical_and(x: Array, y: Array) -> Array:
    return np.logical_and(x, y)


def logical_or(x: Array, y: Array) -> Array:
    return np.logical_or(x, y)


def logical_not(x: Array) -> Array:
    return np.logical_not(x)


def select(cond: Array, a: Array, b: Array) -> Array:
    """a where cond, else b; the form without a and b is not supported."""
    return np.where(cond, a, b)


def cast(x: Array, dtype: str) -> Array:
    """Numbers to integers are cut towards zero, as in C."""
    name = _CASTS.get(dtype, dtype)
    if name not in DTYPES or name == "str":
        raise ValueError(f"the type {dtype!r} is unknown")
    return x.astype(DTYPES[name].numpy)


def sqrt(x: Array) -> Array:
    return np.sqrt(x)


def rsqrt(x: Array, epsilon: Array | float = 1e-12) -> Array:
    """1 / sqrt(x + epsilon)."""
    return np.asarray(1 / np.sqrt(x + epsilon))


def square(x: Array) -> Array:
    return np.square(x)


def absolute(x: Array) -> Array:
    """MIL's `abs`."""
    return np.absolute(x)


def exp(x: Array) -> Array:
    return np.exp(x)


def cos(x: Array) -> Array:
    return np.cos(x)


def sin(x: Array) -> Array:
    return np.sin(x)


def tanh(x: Array) -> Array:
    return np.tanh(x)


def erf(x: Array) -> Array:
    return np.asarray(_erf(x), np.float32)


def clip(x: Array, alpha: Array, beta: Array) -> Array:
    return np.clip(x, alpha, beta)


def relu(x: Array) -> Array:
    return np.maximum(x, np.zeros((), x.dtype))


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def silu(x: Array) -> Array:
    return x * sigmoid(x)


def gelu(x: Array, mode: str = "EXACT") -> Array:
    """x Phi(x), or one of the two approximations of Hendrycks and Gimpel (2016)."""
    match mode:
        case "EXACT":
            return np.asarray(x * (1 + erf(x / np.float32(math.sqrt(2)))) / 2)
        case "TANH_APPROXIMATION":
            inner = np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x**3)
            return np.asarray(x * (1 + np.tanh(inner)) / 2)
        case "SIGMOID_APPROXIMATION":
            return x * sigmoid(np.float32(1.702) * x)
        case _:
            raise ValueError(f"the mode {mode!r} is unknown")
