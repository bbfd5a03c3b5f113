"""The largest numbers that a manifest may name: far above any model, and far below what takes all memory."""

from dataclasses import fields

from pocketvl.runtime.geometry import ImageSettings, ModelGeometry

_MOST = 1 << 20
_MOST_OF = {
    "num_layers": 1024,
    "depth": 1024,
    "in_channels": 16,
    "patch_size": 256,
    "temporal_patch_size": 16,
    "max_position_embeddings": 1 << 30,  # nothing is that long; max_context bounds what is
    "max_pixels": 1 << 40,  # likewise, the largest bucket does
}


def check_limits(
    geometry: ModelGeometry, image: ImageSettings, buckets: tuple[int, ...], max_context: int
) -> None:
    """Raises ValueError for a number that no model has."""
    named = [("max_context", max_context), *(("a bucket", bucket) for bucket in buckets)]
    for part in (geometry.vision, geometry.text, image):
        named += [(field.name, getattr(part, field.name)) for field in fields(part)]
    for name, value in named:
        most = _MOST_OF.get(name, _MOST)
        if isinstance(value, int) and value > most:
            raise ValueError(f"{name} is {value}, but must not be more than {most}")
    if min(geometry.text.mrope_section) < 0:
        raise ValueError(f"mrope_section {list(geometry.text.mrope_section)} must not be negative")
