"""Exports of tiny models without what their libraries do again and again, which takes most of their time.

Users' exports are left as they are: there it is little beside the weights.
"""

import functools
import sys
import typing
from importlib.util import find_spec
from typing import Any

from pocketvl.runtime import names


@functools.cache
def spare_repetitions(target: str) -> None:
    """For the rest of this process; where the target's libraries are not installed, nothing."""
    libraries = {names.EXECUTORCH: "torch", names.ONNX: "onnxscript", names.COREML: "coremltools"}
    if find_spec("torch") is None or find_spec(libraries[target]) is None:
        return
    _list_operators_once()
    _describe_types_once()
    if target == names.ONNX:
        _read_translations_once()
    elif target == names.COREML:
        _check_programs_around_passes()
        _print_no_programs()


@functools.cache
def _list_operators_once() -> None:
    """torch looks up each of its operators some 40 times per decomposition, in case there are new ones."""
    import torch
    from torch._export import utils

    look_up = utils._materialize_cpp_cia_ops
    known: tuple[int, int, int] | None = None

    def state() -> tuple[int, int, int]:
        """Operators come with modules and libraries that are loaded, or are defined in Python."""
        return len(sys.modules), len(torch.ops.loaded_libraries), len(torch.library._defs)

    def look_up_new() -> None:
        nonlocal known
        if known != state():
            look_up()
            known = state()

    utils._materialize_cpp_cia_ops = look_up_new


@functools.cache
def _describe_types_once() -> None:
    """torch describes the type of a local function whenever it overrides an operator, some 6000 times per
    decomposition; typing's Callable remembers what it was asked for, unlike that of collections.abc."""
    from torch import _ops

    _ops.Callable = typing.Callable  # type: ignore[attr-defined]


def _read_translations_once() -> None:
    """torch.onnx.export parses the source of every operator's translation."""
    from torch.onnx._internal._lazy_import import onnxscript_apis

    onnxscript_apis.get_torchlib_ops = functools.cache(onnxscript_apis.get_torchlib_ops)


def _check_programs_around_passes() -> None:
    """coremltools checks a program's links after each of some 70 passes; here before and after them all.

    So only users' exports have the checks between passes.
    """
    from coremltools.converters.mil.mil.passes.pass_pipeline import PassPipelineManager

    apply = PassPipelineManager.apply_pipeline

    def apply_and_check(program: Any, pipeline: Any) -> None:
        program.validate()
        program.validate = lambda **_: None
        try:
            apply(program, pipeline)
        finally:
            del program.validate
        program.validate()

    PassPipelineManager.apply_pipeline = staticmethod(apply_and_check)


def _print_no_programs() -> None:
    """coremltools prints every program for a log that is off."""
    from coremltools.converters.mil.mil import Program

    Program.__str__ = object.__repr__
