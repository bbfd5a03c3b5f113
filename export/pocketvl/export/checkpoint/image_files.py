"""preprocessor_config.json and processor_config.json: how images are prepared."""

from pathlib import Path
from typing import Any

from pocketvl.export.checkpoint.json_object import JsonObject, read_optional
from pocketvl.runtime.bundle.geometry import ImageSettings, VisionGeometry
from pocketvl.runtime.bundle.limits import check_image_limits
from pocketvl.runtime.errors import CheckpointError

PREPROCESSOR_CONFIG = "preprocessor_config.json"
PROCESSOR_CONFIG = "processor_config.json"

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
_MIN_PIXELS = 56 * 56
_MAX_PIXELS = 28 * 28 * 16384
_PROCESSORS = ("Qwen2VLImageProcessor", "Qwen2VLImageProcessorFast", "Qwen2VLImageProcessorPil")
_SIZES = ("shortest_edge", "longest_edge", "min_pixels", "max_pixels")
_IMAGE_STEPS: dict[str, Any] = {
    "resample": 3,  # bicubic
    "do_resize": True,
    "do_rescale": True,
    "do_normalize": True,
    "do_convert_rgb": True,
}
# Steps of other models' processors.
_IMAGE_ABSENT = ("do_center_crop", "crop_size", "do_pad", "pad_size", "do_reduce_labels", "do_thumbnail")
_IMAGE_READ = {
    *(
        "min_pixels",
        "max_pixels",
        "size",
        "image_mean",
        "image_std",
        "rescale_factor",
        "image_processor_type",
    ),
    *("patch_size", "temporal_patch_size", "merge_size"),
}
# How arrays are passed around in transformers, and whose file it is.
_IMAGE_HARMLESS = {
    *(
        "processor_class",
        "feature_extractor_type",
        "video_processor_type",
        "auto_map",
        "data_format",
        "device",
    ),
    *("input_data_format", "return_tensors", "default_to_square", "disable_grouping", "image_processor_type"),
    *("_valid_processor_keys", "_processor_class", "size_divisor", "image_seq_length"),
}


def read_image_settings(folder: Path, vision: VisionGeometry) -> ImageSettings:
    """preprocessor_config.json, or the same inside a newer processor_config.json; the family's values
    where a key is missing. Raises CheckpointError for a preparation that the runtime does not do."""
    settings = _image_processor(folder)
    _check_preparation(settings, vision)
    size = settings.child("size")
    unknown = sorted(size.values.keys() - _SIZES)
    if unknown:
        raise CheckpointError(
            f"{size.where} has {unknown[0]!r}; images of Qwen2-VL are bounded by {' and '.join(_SIZES[:2])}."
        )
    # min_pixels and max_pixels win over size, as in transformers.
    low = size.integer("shortest_edge", size.integer("min_pixels", _MIN_PIXELS))
    high = size.integer("longest_edge", size.integer("max_pixels", _MAX_PIXELS))
    try:
        image = ImageSettings(
            min_pixels=settings.integer("min_pixels", low),
            max_pixels=settings.integer("max_pixels", high),
            mean=settings.triple("image_mean", _MEAN),
            std=settings.triple("image_std", _STD),
        )
        check_image_limits(image)
    except ValueError as error:
        raise CheckpointError(f"{settings.where} is not valid: {error}.") from None
    return image


def _image_processor(folder: Path) -> JsonObject:
    """Of either file. Raises CheckpointError where they say different things."""
    settings = read_optional(folder / PREPROCESSOR_CONFIG)
    newer = read_optional(folder / PROCESSOR_CONFIG).child("image_processor")
    if not settings.values or not newer.values:
        return settings if settings.values else newer
    for key in sorted(settings.values.keys() & newer.values.keys() - _IMAGE_HARMLESS):
        if settings.values[key] != newer.values[key]:
            raise CheckpointError(
                f"{folder}: {key!r} is {settings.values[key]!r} in {PREPROCESSOR_CONFIG}, but"
                f" {newer.values[key]!r} in {PROCESSOR_CONFIG}; remove the wrong file."
            )
    return settings


def image_notes(folder: Path, image: ImageSettings) -> tuple[str, ...]:
    """What the files about images leave open, or ask for and the runtime does not know."""
    settings = _image_processor(folder)
    if not settings.values:
        return (
            f"There is no {PREPROCESSOR_CONFIG}, so images are prepared as by the published models: between"
            f" {image.min_pixels} and {image.max_pixels} pixels, with the means and deviations of CLIP. Copy"
            " the file from the model that was trained if its own differ.",
        )
    known = {*_IMAGE_READ, *_IMAGE_STEPS, *_IMAGE_HARMLESS, *_IMAGE_ABSENT}
    unknown = sorted(key for key in settings.values.keys() - known if settings.has(key))
    if not unknown:
        return ()
    return (f"{Path(settings.where).name} has settings that pocketvl does not know: {', '.join(unknown)}.",)


def _check_preparation(settings: JsonObject, vision: VisionGeometry) -> None:
    wanted: dict[str, Any] = {
        "patch_size": vision.patch_size,
        "temporal_patch_size": vision.temporal_patch_size,
        "merge_size": vision.spatial_merge_size,
        **_IMAGE_STEPS,
    }
    for key, value in wanted.items():
        if settings.has(key) and settings.values[key] != value:
            raise CheckpointError(
                f"{settings.where}: {key!r} is {settings.values[key]!r}, but this model's images are"
                f" prepared with {value!r}."
            )
    for key in _IMAGE_ABSENT:
        if settings.values.get(key):
            raise CheckpointError(
                f"{settings.where}: {key!r} asks for a step that no Qwen2-VL has; remove it."
            )
    processor = settings.text("image_processor_type", _PROCESSORS[0])
    if processor not in _PROCESSORS:
        raise CheckpointError(
            f"{settings.where}: images are prepared by {processor!r}; pocketvl knows {_PROCESSORS[0]!r}."
        )
    if abs(settings.number("rescale_factor", 1 / 255) * 255 - 1) > 1e-6:
        raise CheckpointError(f"{settings.where}: 'rescale_factor' must be 1/255.")
