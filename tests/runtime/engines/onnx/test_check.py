"""Names in a graph that are no text."""

from collections.abc import Callable

import onnxruntime
import pytest

from pocketvl.runtime.bundle.manifest import TensorSpec
from pocketvl.runtime.bundle.signature import Signature
from pocketvl.runtime.engines.onnx.check import check_signature
from pocketvl.runtime.errors import BundleError
from tests.runtime.engines.onnx.models import model

PORTS = Signature((TensorSpec("xx", "float32", (4,)),), (TensorSpec("yy", "float32", (4,)),))


def session(change: Callable[[bytes], bytes]) -> onnxruntime.InferenceSession:
    value = model()
    for name, port in (("xx", value.graph.input[0]), ("yy", value.graph.output[0])):
        port.name = name
    value.graph.node[0].input[0], value.graph.node[0].output[0] = "xx", "yy"
    return onnxruntime.InferenceSession(change(value.SerializeToString()), providers=["CPUExecutionProvider"])


def test_the_names_themselves_pass() -> None:
    check_signature("m.onnx", PORTS, session(bytes))


@pytest.mark.parametrize(("name", "kind"), [(b"xx", "input"), (b"yy", "output")])
def test_names_that_are_no_text_are_refused(name: bytes, kind: str) -> None:
    with pytest.raises(BundleError, match=rf"m\.onnx has an {kind} whose name is no text"):
        check_signature("m.onnx", PORTS, session(lambda content: content.replace(name, b"\xff\xfe")))
