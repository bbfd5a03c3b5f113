"""What edits of a manifest are made of, for manifest_checks.py and manifests.py beside this."""

from typing import Any, NamedTuple

from tests.golden.written import Json

BIG = 2**63
MILLION = 1 << 20
Check = tuple[list[Any], Any, str | None]  # path, value, refused
TABLE, VISION, TEXT, IMAGE, SPECIAL, SAMPLING = (
    ["token_embedding"],
    ["geometry", "vision"],
    ["geometry", "text"],
    ["image"],
    ["special_tokens"],
    ["sampling"],
)
# Every object of the valid manifest for ExecuTorch, one of each kind, by the path to it.
OBJECTS = {
    "": "schema_version target recipe quantization_method geometry special_tokens image buckets max_context"
    " prefill_chunk chat sampling entry_points token_embedding layers files optional_files provenance",
    "geometry": "vision text",
    "geometry.vision": "depth hidden_size intermediate_size num_heads in_channels patch_size"
    " temporal_patch_size"
    " spatial_merge_size output_size layer_norm_eps",
    "geometry.text": "num_layers hidden_size intermediate_size num_heads num_kv_heads head_dim vocab_size"
    " rope_theta rms_norm_eps mrope_section max_position_embeddings tie_word_embeddings",
    "special_tokens": "image_pad video_pad vision_start vision_end eos im_end",
    "image": "min_pixels max_pixels mean std",
    "sampling": "temperature top_k top_p repetition_penalty",
    "entry_points.1": "name file method patches inputs outputs",
    "entry_points.2.inputs.0": "name dtype shape",
    "token_embedding": "file rows columns storage data_offset scales_offset scales_dtype group_size",
    "layers.0": "component bits group_size layers parameters bytes",
    "files.3": "path size sha256",
    "provenance": "source source_sha256 calibration calibration_sha256 pocketvl tools command"
    " source_revision",
}


NULLABLE = (
    *("im_end", "patches", "scales_offset", "scales_dtype", "group_size"),
    *("calibration", "calibration_sha256"),
)


def steps(owner: str) -> list[Any]:
    """The path that a key of OBJECTS says."""
    return [int(step) if step.isdigit() else step for step in owner.split(".") if step]


class Case(NamedTuple):
    """See the golden's "about"."""

    bundle: str
    edits: list[Json]
    refused: str | None


def edited(
    path: list[Any], *, refused: str | None, bundle: str = "executorch", also: Any = (), **what: Any
) -> Case:
    return Case(bundle, [{"path": path, **what}, *also], refused)
