"""README.md of a bundle: the model card that the hub shows, made from the manifest."""

import re
from pathlib import Path
from typing import Any

import jinja2

from pocketvl.runtime import names
from pocketvl.runtime.bundle.manifest import Manifest
from pocketvl.runtime.errors import BundleError
from pocketvl.runtime.files import read_text, regular_size

_TEMPLATE = "model_card.md.jinja"
_START, _END = "<!-- parity -->", "<!-- end of parity -->"
_MOST_BYTES = 16 << 20  # of a card
_NOT_MEASURED = "Not measured yet: `pocketvl verify THIS_FOLDER --against MODEL --update-card` fills this in."
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

_TARGETS = {names.EXECUTORCH: "ExecuTorch", names.COREML: "Core ML", names.ONNX: "ONNX Runtime"}
# What the hub calls the library that runs the files.
_LIBRARIES = {names.EXECUTORCH: "executorch", names.COREML: "coreml", names.ONNX: "transformers.js"}
_EXTRAS = {names.EXECUTORCH: "[executorch]", names.COREML: "[coreml]", names.ONNX: "[onnx]"}
# The parts of a manifest's quantization_method.
_METHODS = {
    "gptq checkpoint": "kept as a GPTQ checkpoint had them",
    "awq checkpoint": "kept as an AWQ checkpoint had them",
    "rtn": "rounded to nearest",
    "hqq": "chosen by half-quadratic quantization, which looks at weights alone",
    "gptq": "chosen by GPTQ, layer by layer over calibration data",
}
_LICENSE_KEYS = ("license", "license_name", "license_link", "language")


def write_card(folder: Path, manifest: Manifest, checkpoint: Path) -> None:
    """Write folder/README.md. checkpoint: the folder whose own README.md, if any, names the licence.

    Raises OSError if it cannot be written.
    """
    (folder / names.MODEL_CARD).write_text(card_text(manifest, _license(checkpoint)), encoding="utf-8")


def card_text(manifest: Manifest, license_: dict[str, Any]) -> str:
    """The card. license_: the entries of its metadata that come from the source's own card."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"megabytes": _megabytes, "thousands": "{:,}".format}
    template = environment.from_string(Path(__file__).with_name(_TEMPLATE).read_text(encoding="utf-8"))
    source = manifest.provenance.source
    vision = manifest.geometry.vision
    text = template.render(
        manifest=manifest,
        metadata=_metadata(manifest, license_),
        title=f"{source.rpartition('/')[2]}, {manifest.recipe}, {_TARGETS[manifest.target]}",
        base=f"[{source}](https://huggingface.co/{source})" if _HUB_ID.fullmatch(source) else source,
        target=_TARGETS[manifest.target],
        total=sum(record.size for record in manifest.files),
        optional=sum(record.size for record in manifest.optional_files),
        method=_method(manifest.quantization_method),
        largest=min(manifest.image.max_pixels, manifest.buckets[-1] * vision.patch_size**2),
        extra=_EXTRAS[manifest.target],
        javascript=manifest.target == names.ONNX,
        parity=f"{_START}\n{_NOT_MEASURED}\n{_END}",
        license="license" in license_,
    )
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def check_card(folder: Path) -> None:
    """Raise BundleError unless the bundle's card has a place for parity."""
    _split(folder / names.MODEL_CARD)


def update_parity(folder: Path, parity: str) -> None:
    """Put `parity`, Markdown, in its place in the bundle's card; the rest of the card, edited or not, stays.

    Raises BundleError if the card or its place is missing, or if it cannot be written.
    """
    path = folder / names.MODEL_CARD
    before, after = _split(path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(f"{before}{_START}\n{parity.strip()}\n{_END}{after}", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise BundleError(f"{path} cannot be written: {error.strerror or error}.") from None


def _split(path: Path) -> tuple[str, str]:
    text = read_text(path, BundleError, _MOST_BYTES)
    before, start, rest = text.partition(_START)
    _, end, after = rest.partition(_END)
    if not start or not end:
        raise BundleError(
            f"{path} has no place for parity; put the lines {_START} and {_END} where the table is to stand."
        )
    return before, after


def _metadata(manifest: Manifest, license_: dict[str, Any]) -> str:
    """YAML as https://huggingface.co/docs/hub/model-cards describes it."""
    from huggingface_hub import ModelCardData

    base = manifest.provenance.source.split(" + ")[0]
    entries: dict[str, Any] = {**license_}
    if _HUB_ID.fullmatch(base):
        quantized = any(group.bits < 16 for group in manifest.layers)
        entries |= {"base_model": base} | ({"base_model_relation": "quantized"} if quantized else {})
    data = ModelCardData(
        pipeline_tag="image-text-to-text",
        library_name=_LIBRARIES[manifest.target],
        tags=["pocketvl", "qwen2_vl", manifest.target, *sorted(_bit_tags(manifest))],
        **entries,
    )
    return str(data.to_yaml())


def _method(name: str) -> str:
    if name == "none":
        return "No layer is quantized."
    parts = name.split(" + ")
    chosen = " or ".join(_METHODS.get(part, part) for part in parts if part != names.ROTATION)
    before = "The decoder's hidden states were rotated. " if names.ROTATION in parts else ""
    return f"{before}Integers were {chosen}."


def _bit_tags(manifest: Manifest) -> set[str]:
    return {f"{group.bits}-bit" for group in manifest.layers if group.bits < 16}


def _license(checkpoint: Path) -> dict[str, Any]:
    """The licence that the source's own card names; nothing where there is none to read."""
    from huggingface_hub import metadata_load

    try:
        regular_size(checkpoint / names.MODEL_CARD, BundleError, _MOST_BYTES)
        given = metadata_load(checkpoint / names.MODEL_CARD) or {}
    except Exception:  # no card, or YAML that someone broke: that must not end an export
        return {}
    return {key: given[key] for key in _LICENSE_KEYS if given.get(key)}


def _megabytes(size: int) -> str:
    return f"{size / 10**6:,.1f} MB"
