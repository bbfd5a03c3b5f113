"""Functions become one .mlpackage in which every weight is stored once, and which Xcode can describe."""

import io
import json
import logging
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np

from pocketvl.export.layer_plan import LayerPlan
from pocketvl.runtime import names
from pocketvl.runtime.errors import ExportError, SpaceError
from pocketvl.runtime.extras import import_failure

MODEL_FILE = "Data/com.apple.CoreML/model.mlmodel"
WEIGHT_FILE = "Data/com.apple.CoreML/weights/weight.bin"
_MANIFEST_FILE = "Manifest.json"
# A checkpoint's tensors and config do not say under what licence they are; its card may.
LICENCE = (
    "Weights: the licence of the checkpoint that was exported, which the bundle's README.md names where it is"
    " known. Program: Apache-2.0."
)
_TENSORS = {
    names.PATCHES: "Flattened patches in the merger's order, padded with zeros",
    names.ROPE_COS: "Cosines of the rotary angles of each row, computed by the host",
    names.ROPE_SIN: "Sines of the rotary angles of each row, computed by the host",
    names.KEY_MASK: "1 for a patch, 0 for padding",
    names.IMAGE_EMBEDDINGS: "One row a token; rows of padding mean nothing",
    names.EMBEDDINGS: "Embeddings of the tokens, or the hidden states of the chunk before",
    names.CACHE_POSITION: "Slot of the key-value cache that the first token goes to",
    names.ATTENTION_MASK: "Added to scores: 0 where a token sees a slot, a large negative number elsewhere",
    names.HIDDEN: "Hidden states",
    names.TOKEN_IDS: "Token ids",
    names.LOGITS: "One score a token of the vocabulary",
    names.K_CACHE: "Keys: layer, head, slot, element",
    names.V_CACHE: "Values: layer, head, slot, element",
}


def import_coremltools() -> Any:
    """The package, told to keep its warnings of untested versions to itself. Raises MissingExtraError."""
    logging.getLogger("coremltools").setLevel(logging.ERROR)
    try:
        import coremltools
    except (ImportError, OSError, MemoryError) as error:
        raise import_failure(error, "Exporting to Core ML needs coremltools", "export,coreml") from None
    return coremltools


def convert(model: Any, **options: Any) -> Any:
    """coremltools.convert for iOS 18 and macOS 15, without its progress bars. Raises ExportError."""
    ct = import_coremltools()
    try:
        with redirect_stderr(io.StringIO()):
            return ct.convert(model, minimum_deployment_target=ct.target.iOS18, **options)
    except (NotImplementedError, RuntimeError, ValueError) as error:
        if "FileWriter" in str(error):  # all that it says of a full disk
            raise SpaceError(
                f"coremltools could not write its files ({error}); free some space for temporary files, or"
                " name a folder with more in TMPDIR."
            ) from error
        raise ExportError(
            f"coremltools could not convert the graph ({error}); install coremltools==9.0."
        ) from error


@dataclass(frozen=True)
class Description:
    """What Xcode shows of a package. facts: text by text, for whoever loads it."""

    summary: str
    licence: str
    facts: Mapping[str, str]
    tensors: Mapping[str, str]  # name of an input, output or state -> what it is


def write_package(path: Path, functions: Mapping[str, Any], description: Description) -> None:
    """Write the functions of build_function into the new folder `path`, the first as the default one."""
    from coremltools.converters.mil.mil import Program

    program = Program()
    for name, function in functions.items():
        _share_constants(function)
        program.add_function(name, function)
    program.default_function_name = next(iter(functions))
    program.export_as_multifunction = True
    convert(
        program,
        source="milinternal",
        convert_to="mlprogram",
        pass_pipeline=import_coremltools().PassPipeline.EMPTY,
        skip_model_load=True,
        package_dir=str(path),
    )
    _describe(path / MODEL_FILE, description)
    _name_items(path)


def _share_constants(function: Any) -> None:
    """Let constants of equal values, such as the norms and biases of all functions, be stored once."""
    for op in function.operations:
        if op.op_type != "const" or op.weight_id is not None:
            continue
        value = op.outputs[0].val
        if isinstance(value, np.ndarray) and value.size > 1:
            digest = sha256(np.ascontiguousarray(value).data).hexdigest()
            op.weight_id = f"{op.outputs[0].dtype.__name__} {value.shape} {digest}"


def _describe(path: Path, description: Description) -> None:
    from coremltools.proto import Model_pb2

    spec = Model_pb2.Model()
    spec.ParseFromString(path.read_bytes())
    metadata = spec.description.metadata
    metadata.shortDescription = description.summary
    metadata.author = "pocketvl"
    metadata.license = description.licence
    metadata.versionString = version("pocketvl")
    metadata.userDefined.clear()
    for key, value in description.facts.items():
        metadata.userDefined[key] = value
    for function in spec.description.functions:
        for feature in (*function.input, *function.output, *function.state):
            feature.shortDescription = description.tensors.get(feature.name, "")
    # Maps have no order of their own, and the same export twice should be the same bytes.
    path.write_bytes(spec.SerializeToString(deterministic=True))


def _name_items(path: Path) -> None:
    """Give the package's items names that depend on what they are, instead of random ones."""
    file = path / _MANIFEST_FILE
    manifest = json.loads(file.read_text(encoding="utf-8"))
    new = {old: str(uuid5(NAMESPACE_URL, item["path"])).upper() for old, item in _items(manifest)}
    manifest["itemInfoEntries"] = {new[old]: item for old, item in _items(manifest)}
    manifest["rootModelIdentifier"] = new[manifest["rootModelIdentifier"]]
    file.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _items(manifest: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return sorted(manifest["itemInfoEntries"].items(), key=lambda pair: str(pair[1]["path"]))


def describe(summary: str, plan: LayerPlan, facts: dict[str, int | str]) -> Description:
    """facts: what is true of this package alone."""
    text, vision = plan.geometry.text, plan.geometry.vision
    common: dict[str, int | float | str] = {
        "hidden_size": text.hidden_size,
        "num_layers": text.num_layers,
        "vocab_size": text.vocab_size,
        "head_dim": text.head_dim,
        "rope_theta": text.rope_theta,
        "mrope_section": ",".join(map(str, text.mrope_section)),
        "patch_size": vision.patch_size,
        "merge_area": vision.merge_area,
    }
    return Description(
        summary=summary,
        licence=LICENCE,
        facts={
            "pocketvl": version("pocketvl"),
            "recipe": plan.recipe.name,
            "quantization_method": plan.method,
            **{key: str(value) for key, value in (common | facts).items()},
        },
        tensors=_TENSORS,
    )
