"""The largest numbers that a manifest or a checkpoint may name: far above any model, and far below what takes
all memory."""

from dataclasses import fields

from pocketvl.runtime.bundle.geometry import ImageSettings, ModelGeometry

_MOST = 1 << 20
_MOST_OF = {
    "num_layers": 1024,
    "depth": 1024,
    "in_channels": 16,
    "patch_size": 256,
    "temporal_patch_size": 16,
    "max_position_embeddings": 1 << 30,  # nothing is that long; max_context bounds what is
    "max_pixels": (1 << 31) - 1,  # likewise, the largest bucket does; an int in every language
}


def check_limits(
    geometry: ModelGeometry, image: ImageSettings, buckets: tuple[int, ...], max_context: int
) -> None:
    """Raises ValueError for a number that no model has."""
    check_geometry_limits(geometry)
    check_image_limits(image)
    _check("max_context", max_context)
    for bucket in buckets:
        _check("a bucket", bucket)


def check_layer_limits(bits: int, group_size: int | None, layers: int) -> None:
    """Raises ValueError for a number that no group of layers has."""
    _check("bits", bits)
    _check("group_size", group_size)
    _check("layers", layers)


def check_geometry_limits(geometry: ModelGeometry) -> None:
    """Raises ValueError for a size that no model has."""
    for part in (geometry.vision, geometry.text):
        for field in fields(part):
            _check(field.name, getattr(part, field.name))
    if min(geometry.text.mrope_section) < 0:
        raise ValueError(f"mrope_section {list(geometry.text.mrope_section)} must not be negative")


def check_image_limits(image: ImageSettings) -> None:
    """Raises ValueError for a number of pixels that no image has."""
    for field in fields(image):
        _check(field.name, getattr(image, field.name))


def _check(name: str, value: object) -> None:
    most = _MOST_OF.get(name, _MOST)
    if isinstance(value, int) and value > most:
        raise ValueError(f"{name} is {value}, but must not be more than {most}")
