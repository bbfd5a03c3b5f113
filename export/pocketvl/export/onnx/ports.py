"""What transformers.js's decoder takes and gives."""

from pocketvl.runtime import names
from pocketvl.runtime.geometry import TextGeometry
from pocketvl.runtime.manifest import TensorSpec
from pocketvl.runtime.onnx.ports import Ports, past_caches, present_caches


def merged_ports(text: TextGeometry) -> Ports:
    """Of MergedDecoder, by the names of transformers.js."""
    return Ports(
        (
            TensorSpec("inputs_embeds", "float32", (1, "tokens", text.hidden_size)),
            TensorSpec("attention_mask", "int64", (1, "total")),
            TensorSpec("position_ids", "int64", (3, 1, "tokens")),
            TensorSpec("num_logits_to_keep", "int64", ()),
            *past_caches(text),
        ),
        (TensorSpec(names.LOGITS, "float32", (1, "kept", text.vocab_size)), *present_caches(text)),
    )
