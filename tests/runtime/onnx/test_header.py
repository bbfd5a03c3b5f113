"""What is read of a .onnx file without the onnx package."""

import time
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from pocketvl.runtime.errors import BundleError
from pocketvl.runtime.onnx.header import ExternalData, read_header
from tests.runtime.onnx.models import model, nested, outside, save


def test_versions_and_places_are_read(tmp_path: Path) -> None:
    path = save(
        model(outside("a", "w.onnx_data", 4096), outside("b", "w.onnx_data", None, None)), tmp_path / "m.onnx"
    )
    header = read_header(path)
    assert header.ir_version == 10
    assert header.opsets == (("", 21), ("com.microsoft", 1))
    assert header.external == (
        ExternalData("a", "w.onnx_data", 4096, 16),
        ExternalData("b", "w.onnx_data", 0, 16),
    )


def test_tensors_are_found_wherever_they_stand(tmp_path: Path) -> None:
    found = [tensor.tensor for tensor in read_header(save(nested("w"), tmp_path / "m.onnx")).external]
    assert sorted(found) == ["branch", "branch", "constant", "function", "listed", "sparse"]


def test_weights_in_the_file_itself_are_passed_over(tmp_path: Path) -> None:
    inline = helper.make_tensor("a", TensorProto.FLOAT, [4], [1, 2, 3, 4])
    assert read_header(save(model(inline), tmp_path / "m.onnx")).external == ()


@pytest.mark.parametrize(("dtype", "size"), [("UINT4", 2), ("INT8", 3), ("FLOAT16", 6), ("INT64", 24)])
def test_the_length_follows_from_dtype_and_shape(tmp_path: Path, dtype: str, size: int) -> None:
    tensor = outside("a", "w", 0, None, rows=3)
    tensor.data_type = TensorProto.DataType.Value(dtype)
    assert read_header(save(model(tensor), tmp_path / "m.onnx")).external[0].length == size


@pytest.mark.parametrize(
    ("tensor", "what"),
    [
        (outside("a", "w", -1), "offset '-1'"),
        (outside("a", "w", "1e3"), "offset '1e3'"),
        (outside("a", "w", "9" * 30), "offset"),
        (outside("a", "w", 0, "x"), "length 'x'"),
        (outside("a", "w", 0, 12), "takes 16 bytes, but 12"),
        (outside("a", "w", 0, 16, rows=-4), "size below 0"),
        (outside("a", "w", 0, 16, rows=2**62), "bytes, but 16"),
    ],
)
def test_impossible_places_are_refused(tmp_path: Path, tensor: TensorProto, what: str) -> None:
    with pytest.raises(BundleError, match=what):
        read_header(save(model(tensor), tmp_path / "m.onnx"))


def test_texts_cannot_stand_outside(tmp_path: Path) -> None:
    tensor = outside("a", "w")
    tensor.data_type = TensorProto.STRING
    with pytest.raises(BundleError, match="element type 8"):
        read_header(save(model(tensor), tmp_path / "m.onnx"))


def test_subgraphs_without_end_are_refused(tmp_path: Path) -> None:
    graph = helper.make_graph([], "innermost", [], [])
    for depth in range(25):
        graph = helper.make_graph([helper.make_node("If", [], [f"y{depth}"], then_branch=graph)], "g", [], [])
    value = model()
    value.graph.CopyFrom(graph)
    with pytest.raises(BundleError, match="deep"):
        read_header(save(value, tmp_path / "m.onnx"))


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x0a", bytes(1000), b"\x3a\x00" * 2])
def test_other_files_are_no_models(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"m\.onnx is not a sound ONNX model"):
        read_header(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"m\.onnx cannot be read"):
        read_header(tmp_path / "m.onnx")


def test_keys_that_say_more_of_another_file_are_refused(tmp_path: Path) -> None:
    for key in ("prepacked_0", "location"):
        tensor = outside("a", "w")
        tensor.external_data.add(key=key, value="w")
        with pytest.raises(BundleError, match=f"the key '{key}'"):
            read_header(save(model(tensor), tmp_path / "m.onnx"))


def test_many_dimensions_are_refused_at_once(tmp_path: Path) -> None:
    """Their product takes a time that grows by the square of their number."""
    tensor = outside("a", "w")
    tensor.dims.extend([2**62] * 200_000)
    start = time.process_time()
    with pytest.raises(BundleError, match="more than 8 dimensions"):
        read_header(save(model(tensor), tmp_path / "m.onnx"))
    assert time.process_time() - start < 2


def test_many_opsets_are_refused(tmp_path: Path) -> None:
    value = model()
    for index in range(70):
        value.opset_import.add(domain=f"d{index}", version=1)
    with pytest.raises(BundleError, match="names 72 opsets"):
        read_header(save(value, tmp_path / "m.onnx"))


def test_weights_in_the_file_are_not_read_into_memory(tmp_path: Path) -> None:
    inline = helper.make_tensor("a", TensorProto.UINT8, [10**7], bytes(10**7), raw=True)
    path = save(model(inline), tmp_path / "m.onnx")
    tracemalloc.start()
    try:
        read_header(path)
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(data=st.data())
def test_damage_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    sound = bytearray(nested("w").SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        sound[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "m.onnx"
    path.write_bytes(sound[: data.draw(st.integers(0, len(sound)))])
    with suppress(BundleError):
        read_header(path)
