"""Which files of a bundle an app may leave out."""

import pytest

from pocketvl.runtime import names


@pytest.mark.parametrize(
    ("path", "optional"),
    [
        ("README.md", True),
        ("config.json", True),
        ("onnx/embed_tokens_int8.onnx", True),
        ("onnx/embed_tokens_int8.onnx_data", True),
        ("onnx/decoder_model_merged_q4.onnx", True),
        ("onnx/decoder_model_merged_q4.onnx_data", False),
        ("onnx/vision_encoder.onnx", True),
        ("onnx/vision_encoder.onnx_data", False),
        ("onnx/host_vision_encoder.onnx", False),
        ("onnx/notes.txt", False),
        ("tokenizer.json", False),
    ],
)
def test_what_an_app_may_leave_out_of_an_onnx_bundle(path: str, optional: bool) -> None:
    assert names.is_optional(path, names.ONNX) == optional
    assert names.is_optional(path, names.EXECUTORCH) == (path == names.MODEL_CARD)
