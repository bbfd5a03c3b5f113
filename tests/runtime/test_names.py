"""Which files of a bundle its manifest lists for every app."""

import pytest

from pocketvl.runtime import names


@pytest.mark.parametrize(
    ("path", "unlisted"),
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
def test_what_an_onnx_manifest_leaves_out(path: str, unlisted: bool) -> None:
    assert names.is_unlisted(path, names.ONNX) == unlisted
    assert names.is_unlisted(path, names.EXECUTORCH) == (path == names.MODEL_CARD)
