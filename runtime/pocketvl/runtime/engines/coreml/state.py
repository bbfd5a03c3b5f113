"""What a stateful function keeps from one run to the next: a KV cache."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketvl.runtime.engines.coreml.tensor_type import TensorType
from pocketvl.runtime.errors import EngineError


class State:
    """Arrays by state name, in their declared types, zero at first.

    Functions that are given the same State share what they name alike: prefill and decode one cache. Its
    arrays are replaced, never written to.
    """

    def __init__(self, types: Mapping[str, TensorType]) -> None:
        self._types = dict(types)
        self._values: dict[str, NDArray[Any]] = {
            name: np.zeros(kind.shape, kind.numpy) for name, kind in types.items()
        }

    def select(self, types: Mapping[str, TensorType], function: str) -> dict[str, NDArray[Any]]:
        """The arrays that `function` declares. Raises EngineError if one is missing or of another type."""
        for name, kind in types.items():
            if self._types.get(name) != kind:
                held = self._types.get(name, "not there")
                raise EngineError(
                    f"{function} needs the state {name!r} as {kind}, but in the one given it is {held};"
                    " make it with new_state of this function."
                )
        return {name: self._values[name] for name in types}

    def replace(self, values: Mapping[str, NDArray[Any]]) -> None:
        self._values.update(values)
