"""What every exporter reads: weights, and the settings of an export, fitted to one model.

Defaults shrink quietly to what the model can use, explicit values do not.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from pocketvl.export.layers import EMBEDDING, FINAL_NORM, HEAD_ROTATION, LM_HEAD
from pocketvl.quant.quantized import QuantizedLinear
from pocketvl.quant.recipe import GENERAL, GENERATED, Precision, Recipe
from pocketvl.quant.rotation import Rotation, head_rotation, hidden_rotation
from pocketvl.runtime.bundle.geometry import ImageSettings, ModelGeometry, VisionGeometry
from pocketvl.runtime.errors import UsageError

TINY = "tiny"  # the model that comes with pocketvl
DEFAULT_BUCKETS = (256, 576, 1024, 2304, 4096)  # patches: 64, 144, 256, 576, 1024 tokens
DEFAULT_CONTEXT = 2048
DEFAULT_PREFILL_CHUNK = 256
VISION_SHAPES = ("dynamic", "buckets")
# An image's tokens stand between vision_start and vision_end, and something must be answered.
_AROUND_AN_IMAGE = 3


class TensorSource(Protocol):
    """Weights by the hub's names (`visual.*`, `model.*`, `lm_head.weight`), read one at a time."""

    @property
    def geometry(self) -> ModelGeometry: ...

    def tensor(self, name: str) -> torch.Tensor:
        """The tensor in the checkpoint's own dtype. A tied lm_head.weight gives the embedding."""

    def quantized(self, layer: str) -> QuantizedLinear | None:
        """The integers of a linear layer, called as recipes call it, where they are decided already
        (calibrated, or stored in the checkpoint); None where the recipe's method decides over the tensor.
        """


class PackedSource(TensorSource, Protocol):
    """A source that may come from packed integers; Checkpoint says what the properties mean."""

    @property
    def packing(self) -> str | None: ...

    @property
    def fixed_bits(self) -> Mapping[str, Precision]: ...

    @property
    def requantized(self) -> Set[str]: ...


class Fingerprinted(TensorSource, Protocol):
    """Weights with an identity: a checkpoint, perhaps with adapters."""

    def fingerprint(self) -> str: ...


class RotatedSource:
    """A source of floats whose hidden states are rotated, and its values within each head; computes the same.

    With R the rotation of hidden states (QuaRot, arXiv 2404.00456, section 4): what writes them (embeddings,
    o, down, the vision tower's last layer) gives y R, and what reads them takes x R, with the norm's weights
    folded in, which become ones. A tied head's rows are the embeddings' and cannot take the last norm's
    weights g in: then that norm's become all of them their mean c, and the layer HEAD_ROTATION adds what
    makes c norm(h) R into (norm(h) g) R, which is R^T diag(g / c - 1) R. With c left in, that matrix would be
    nearly diagonal, and 8 bits would be spent on its diagonal. One tensor is rotated at a time, when it is
    read, in float32. Pickles.
    """

    packing: None = None

    def __init__(self, source: Fingerprinted) -> None:
        self._source = source
        text = source.geometry.text
        self._hidden = hidden_rotation(text.hidden_size)
        self._heads = head_rotation(text.head_dim)
        self._tied = text.tie_word_embeddings
        self.fixed_bits: Mapping[str, Precision] = {}
        self.requantized: Set[str] = frozenset()

    @property
    def geometry(self) -> ModelGeometry:
        return self._source.geometry

    def fingerprint(self) -> str:
        """The unrotated source's: that it is rotated is said by the plan's."""
        return self._source.fingerprint()

    def quantized(self, layer: str) -> None:
        """Nothing is decided beforehand: packed integers cannot be rotated."""

    def tensor(self, name: str) -> torch.Tensor:
        """float32 where it is rotated, and as the source has it in the vision tower."""
        if name in (FINAL_NORM, f"{HEAD_ROTATION}.weight"):
            return self._before_head(name)
        value = self._source.tensor(name)
        if name == EMBEDDING or (name == LM_HEAD and self._tied):
            return self._hidden.apply(value)
        if name == LM_HEAD:
            return self._reads(value, FINAL_NORM)
        if name.startswith("model.") and name.endswith("norm.weight"):
            return torch.ones_like(value, dtype=torch.float32)
        if name.startswith("visual.merger.mlp.2."):
            return self._writes(value.float())
        return self._in_layer(name, value.float()) if name.startswith("model.layers.") else value

    def _before_head(self, name: str) -> torch.Tensor:
        weights = self._source.tensor(FINAL_NORM).float()
        if not self._tied:
            return torch.ones_like(weights)
        mean, size = float(weights.mean()), float(weights.square().mean().sqrt())
        # A mean that is nearly 0, as no trained model has it, could not be divided by.
        common = mean if abs(mean) > 0.1 * size else size or 1.0
        if name == FINAL_NORM:
            return torch.full_like(weights, common)
        return self._writes(self._hidden.apply(torch.diag(weights / common - 1)))

    def _in_layer(self, name: str, value: torch.Tensor) -> torch.Tensor:
        block, part, kind, parameter = name.rsplit(".", 3)
        if kind in ("o_proj", "down_proj"):
            return self._writes(_of_inputs(self._heads, value) if kind == "o_proj" else value)
        if parameter == "weight":
            norm = "input" if part == "self_attn" else "post_attention"
            value = self._reads(value, f"{block}.{norm}_layernorm.weight")
        return _of_outputs(self._heads, value) if kind == "v_proj" else value

    def _reads(self, weight: torch.Tensor, norm: str) -> torch.Tensor:
        """(out, in), of the hidden states behind this norm."""
        return self._hidden.apply(weight.float() * self._source.tensor(norm).float())

    def _writes(self, value: torch.Tensor) -> torch.Tensor:
        """A weight (out, in) or bias (out,) that gives hidden states."""
        return _of_outputs(self._hidden, value)


def _of_inputs(rotation: Rotation, weight: torch.Tensor) -> torch.Tensor:
    """Weights (out, n * size) for inputs of which each n-th part is rotated."""
    return rotation.apply(weight.view(len(weight), -1, rotation.size)).view_as(weight)


def _of_outputs(rotation: Rotation, value: torch.Tensor) -> torch.Tensor:
    """Weights (n * size, in) or biases (n * size,) for outputs of which each n-th part is rotated."""
    parts = value.reshape(len(value) // rotation.size, rotation.size, -1).transpose(1, 2)
    return rotation.apply(parts).transpose(1, 2).reshape(value.shape)


@dataclass(frozen=True)
class ExportSettings:
    """Shapes that are decided at export time."""

    buckets: tuple[int, ...] = DEFAULT_BUCKETS
    vision_shapes: str = "dynamic"
    max_context: int = DEFAULT_CONTEXT
    prefill_chunk: int = DEFAULT_PREFILL_CHUNK
    decoder_chunks: int = 1  # files that a Core ML decoder is split into

    def __post_init__(self) -> None:
        if not self.buckets or list(self.buckets) != sorted(set(self.buckets)) or min(self.buckets) < 4:
            raise UsageError(
                f"--buckets {list(self.buckets)} must be ascending numbers of patches, 4 or more."
            )
        if self.vision_shapes not in VISION_SHAPES:
            raise UsageError(f"--vision-shapes {self.vision_shapes!r} is none of {', '.join(VISION_SHAPES)}.")
        if self.decoder_chunks < 1:
            raise UsageError(f"--decoder-packages {self.decoder_chunks} must be at least 1.")
        if not 1 <= self.prefill_chunk <= self.max_context:
            raise UsageError(
                f"--prefill-chunk {self.prefill_chunk} must lie in 1..{self.max_context}, the --max-context."
            )

    def check_one_decoder(self) -> None:
        """For targets that know no chunks. Raises UsageError."""
        if self.decoder_chunks != 1:
            raise UsageError(
                "--decoder-packages splits the decoder of Core ML; leave it out or add --target coreml."
            )


def fit_image(
    image: ImageSettings, vision: VisionGeometry, min_pixels: int | None, max_pixels: int | None
) -> ImageSettings:
    """The checkpoint's limits with the user's in their place. Raises UsageError for impossible ones."""
    low = image.min_pixels if min_pixels is None else min_pixels
    high = image.max_pixels if max_pixels is None else max_pixels
    token = vision.factor**2
    if high < token:
        raise UsageError(f"--max-pixels {high} is less than one token's {token} pixels; give a larger one.")
    if not 0 < low <= high:
        raise UsageError(
            f"The least size of an image, {low} pixels, must lie in 1..{high}, the largest;"
            " change --min-pixels or --max-pixels."
        )
    return replace(image, min_pixels=low, max_pixels=high)


def fit_calibration(recipe: Recipe, model: str) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe as it can be calibrated without data of the user's, and a note where it is not calibrated.

    The images that pocketvl generates are what `tiny` was trained on. To other models they say little, so
    these are rounded unless the data is named. Raises UsageError for a recipe whose name says otherwise.
    """
    if not recipe.calibrated or recipe.calibration.data is not None:
        return recipe, ()
    if model == TINY:
        return recipe.with_calibration(GENERATED, None), ()
    if recipe.name.endswith(f"-{recipe.method}"):
        raise UsageError(
            f"The recipe {recipe.name!r} needs calibration data: name a folder of images or a .jsonl file"
            f" with --calibration or in a recipe's file, {GENERAL!r} for the set that comes with pocketvl, or"
            f" {GENERATED!r} for simple shapes."
        )
    note = (
        f"The integers of the recipe {recipe.name!r} are rounded to nearest (rtn), as nothing was given to"
        " calibrate on. With --calibration FOLDER (images) or FILE.jsonl (images and prompts) like those of"
        f" its use, {recipe.method} has a tenth to a third of the KL divergence of rounding to 4 bits, with"
        f" --calibration {GENERAL}, which comes with pocketvl, a quarter to a third on text, but little less"
        " on images unlike it. For 32 samples and a model of 2B it takes half an hour to two hours more;"
        " --dry-run says how long."
    )
    return recipe.rounded(), (note,)


def fit_settings(settings: ExportSettings, image: ImageSettings, geometry: ModelGeometry) -> ExportSettings:
    """Context, chunk and buckets that the model can use. Raises UsageError where a value cannot be meant."""
    max_context = _fit_context(settings.max_context, geometry.text.max_position_embeddings)
    chunk = settings.prefill_chunk
    if chunk == DEFAULT_PREFILL_CHUNK:
        chunk = min(chunk, max_context)
    buckets = _fit_buckets(settings.buckets, image, geometry.vision, max_context)
    return replace(settings, max_context=max_context, prefill_chunk=chunk, buckets=buckets)


def _fit_context(max_context: int, most: int) -> int:
    if max_context > most and max_context != DEFAULT_CONTEXT:
        raise UsageError(
            f"--max-context {max_context} is more than the model's own context of {most} tokens."
        )
    return min(max_context, most)


def _fit_buckets(
    buckets: tuple[int, ...], image: ImageSettings, vision: VisionGeometry, max_context: int
) -> tuple[int, ...]:
    area = vision.merge_area
    uneven = [bucket for bucket in buckets if bucket % area]
    if uneven:
        raise UsageError(f"--buckets: {uneven[0]} is not a multiple of {area}, the patches of one token.")
    room = (max_context - _AROUND_AN_IMAGE) * area  # patches of the largest image that fits
    if room < area:
        raise UsageError(f"--max-context {max_context} leaves no room for an image.")
    if buckets[-1] > room and buckets != DEFAULT_BUCKETS:
        raise UsageError(
            f"An image of {buckets[-1]} patches takes {buckets[-1] // area} tokens, which do not fit into a"
            f" context of {max_context}; raise --max-context or give --buckets up to {room}."
        )
    # No image under max_pixels has more patches than this, so a larger bucket would never be used.
    usable = min(image.max_pixels // vision.factor**2 * area, room)
    fitted = tuple(bucket for bucket in buckets if bucket < usable)
    if len(fitted) < len(buckets):
        fitted = (*fitted, usable)
    if image.min_pixels > fitted[-1] * vision.patch_size**2:
        raise UsageError(
            f"The least size of an image, {image.min_pixels} pixels, does not fit into the largest bucket of"
            f" {fitted[-1]} patches; lower --min-pixels or give larger --buckets."
        )
    return fitted
