"""Integers of attributes that onnxruntime would cut to 32 bits."""

from pathlib import Path
from typing import Any

import pytest
from onnx import AttributeProto, ModelProto, helper

from pocketvl.runtime.errors import BundleError
from pocketvl.runtime.onnx.header import read_header
from tests.runtime.onnx.models import model, save


def attention(**attributes: Any) -> ModelProto:
    value = model()
    node = helper.make_node("GroupQueryAttention", [], ["z"], domain="com.microsoft", **attributes)
    value.graph.node.append(node)
    return value


@pytest.mark.parametrize("number", [-(2**31), -1, 0, 2**31 - 1])
def test_integers_of_32_bits_pass(tmp_path: Path, number: int) -> None:
    read_header(save(attention(axis=number, axes=[0, number], num_heads=12), tmp_path / "m.onnx"))


@pytest.mark.parametrize("number", [2**31, 2**32, 2**62, -(2**31) - 1])
@pytest.mark.parametrize("name", ["num_heads", "kv_num_heads", "axis", "axes"])
def test_longer_integers_are_refused(tmp_path: Path, name: str, number: int) -> None:
    """2**32 heads end the process: onnxruntime divides by their lower half."""
    value = attention(**{name: [1, number] if name == "axes" else number})
    with pytest.raises(BundleError, match=f"an attribute is {number}, outside of"):
        read_header(save(value, tmp_path / "m.onnx"))


@pytest.mark.parametrize("name", ["num_heads", "kv_num_heads"])
@pytest.mark.parametrize("number", [0, -1])
def test_no_heads_are_refused(tmp_path: Path, name: str, number: int) -> None:
    with pytest.raises(BundleError, match=f"the attribute {name} is {number}, but must be at least 1"):
        read_header(save(attention(**{name: number}), tmp_path / "m.onnx"))


def test_a_number_left_out_is_none(tmp_path: Path) -> None:
    value = attention()
    value.graph.node[-1].attribute.add(name="num_heads", type=AttributeProto.INT)
    with pytest.raises(BundleError, match="num_heads is 0"):
        read_header(save(value, tmp_path / "m.onnx"))
