"""Disk, memory and time that an export takes, known before it starts, and whether this machine has them.

Seconds are those of two cores of a laptop, fitted to exports of the tiny and the full-size model. Other
machines are faster or slower, but by about the same factor for all steps, so their shares of the whole hold
there, too.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from pocketvl.export.component import ExportSettings
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.layers import Layer, linear_layers
from pocketvl.quant.recipe import GENERAL, GENERATED, Precision
from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import ImageSettings, ModelGeometry
from pocketvl.runtime.errors import SpaceError

# Graph, tokenizer, template, manifest: what a bundle holds besides weights.
DISK_EXTRA = 32 * 10**6
BytesOf = Callable[[Layer, Precision], int]  # weight and scales of a layer in one target's artifact
_COREML_FUNCTIONS = 3
_START_OF = {names.EXECUTORCH: 5.7, names.ONNX: 0.5, names.COREML: 7.5}
_SAMPLE = 0.012  # seconds: reading one and turning it into inputs
_START = 1.6  # importing what calibration runs on
_RUN, _DECIDE = 1.5e-11, 3.5e-11  # seconds for a weight and a token: running a layer, and deciding over it
_FACTORIZE = 1.5e-11  # for a cube of a layer's inputs: inverting their second moments
_UNIT = 0.2  # a block or layer that is decided, however small
_CORRECTED = 2.6  # times as long with the float model beside (docs/decisions/0020-rotation.md)
_GENERATED = (64, 40)  # patches and tokens of a generated sample
_GENERAL = (312, 180)  # of one of the general set, on average
_PROMPT = 30  # tokens of a sample beside its image
_HASHED = 1.4e9  # bytes a second, read and hashed


@dataclass(frozen=True)
class Estimate:
    """Bytes. artifacts: component -> weights as stored."""

    artifacts: dict[str, int]
    disk: int  # the whole bundle
    memory: int  # most that the export holds at one time


def artifact_bytes(plan: LayerPlan, bytes_of: BytesOf) -> dict[str, int]:
    """Component -> bytes of its weights and scales."""
    artifacts = dict.fromkeys((names.VISION_ENCODER, names.TEXT_DECODER, names.LM_HEAD), 0)
    for layer, precision in plan.layers:
        artifacts[layer.component] += bytes_of(layer, precision)
    return artifacts


def check_space(estimate: Estimate, output: Path) -> str | None:
    """Raise SpaceError where the export cannot succeed; return a warning where memory may run short.

    Disk: free space of the nearest folder above `output` that exists. Memory: refused beyond what the
    machine has at all, warned of beyond what is free now.
    """
    folder = nearest_existing(output.expanduser().absolute())
    free = shutil.disk_usage(folder).free
    if estimate.disk > free:
        raise SpaceError(
            f"The bundle will take about {_gigabytes(estimate.disk)}, but the disk of {folder} has"
            f" {_gigabytes(free)} free; free some space or choose another disk."
        )
    memory = psutil.virtual_memory()
    swap = psutil.swap_memory()
    if estimate.memory > memory.total + swap.total:
        raise SpaceError(
            f"The export needs about {_gigabytes(estimate.memory)} of memory, but this machine has"
            f" {_gigabytes(memory.total)}; use a smaller recipe or a larger machine."
        )
    if estimate.memory > memory.available:
        return (
            f"The export needs about {_gigabytes(estimate.memory)} of memory, but only"
            f" {_gigabytes(memory.available)} are free; close other programs if it is slow or killed."
        )
    return None


def fits_twice(estimate: Estimate) -> bool:
    """Whether two components can be exported at the same time in the memory that is free now."""
    free: int = psutil.virtual_memory().available
    return 2 * estimate.memory < free


def nearest_existing(path: Path) -> Path:
    """The folder, or the first above it that exists. path: absolute."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 10**8 else f"{size / 1e6:.1f} MB"


@dataclass(frozen=True)
class _Rate:
    """Seconds of one step: once, for each block or decoder layer, and for 10^9 weights."""

    once: float = 0.0
    layer: float = 0.0
    weights: float = 0.0

    def of(self, layers: int, weights: int) -> float:
        return self.once + self.layer * layers + self.weights * weights / 1e9


@dataclass(frozen=True)
class _Rates:
    quantize: _Rate
    trace: _Rate
    lower: _Rate
    check: _Rate


@dataclass(frozen=True)
class Cost:
    """Seconds that a component takes: weights quantized and placed, graphs traced, lowered or converted, and
    the result checked. For ExecuTorch a layer of each kind is traced, then all are quantized and lowered."""

    quantize: float
    trace: float
    lower: float
    check: float

    @property
    def seconds(self) -> tuple[float, float, float, float]:
        return self.quantize, self.trace, self.lower, self.check


def filling_weights(cost: Cost, sizes: Mapping[str, float], traced: Sequence[float]) -> dict[str, float]:
    """For Steps of layers that are quantized and of the first graphs, "graph 0" and so on, that are traced,
    with these shares of all tracing. sizes: layer -> weights."""
    total = sum(sizes.values())
    return {
        **{f"graph {number}": share * cost.trace for number, share in enumerate(traced)},
        **{name: size / total * cost.quantize for name, size in sizes.items()},
    }


@dataclass(frozen=True)
class ExportCost:
    """Seconds of a whole export. start: until its checks are through, most of it imports; calibration: 0
    where there is none; together: whether both components are made at the same time."""

    start: float
    calibration: float
    vision: float
    text: float
    finish: float
    together: bool

    @property
    def components(self) -> float:
        """Of both."""
        return max(self.vision, self.text) if self.together else self.vision + self.text

    @property
    def total(self) -> float:
        return self.start + self.calibration + self.components + self.finish


# Core ML's graphs are converted for each bucket, and the decoder's for each of three numbers of tokens.
_RATES = {
    (names.EXECUTORCH, names.VISION_ENCODER): _Rates(
        _Rate(0, 0.03, 9.4), _Rate(15.5), _Rate(3.7, 0.13), _Rate(0.1, weights=0.6)
    ),
    (names.EXECUTORCH, names.TEXT_DECODER): _Rates(
        _Rate(0, 0.03, 9.1), _Rate(11.5), _Rate(6.5, 0.04, 0.6), _Rate(0.05, weights=0.05)
    ),
    (names.ONNX, names.VISION_ENCODER): _Rates(
        _Rate(weights=13), _Rate(), _Rate(2.6, 0.15, 3), _Rate(weights=1)
    ),
    (names.ONNX, names.TEXT_DECODER): _Rates(
        _Rate(weights=13), _Rate(), _Rate(2.8, 0.4, 3.5), _Rate(0.4, 0.1, 0.7)
    ),
    (names.COREML, names.VISION_ENCODER): _Rates(
        _Rate(0.1, weights=20), _Rate(), _Rate(0.25, 0.15, 60), _Rate(0.35, weights=60)
    ),
    (names.COREML, names.TEXT_DECODER): _Rates(
        _Rate(0.1, weights=20), _Rate(), _Rate(0.5, 0.38, 30), _Rate(0.65, weights=60)
    ),
}


def component_cost(target: str, component: str, geometry: ModelGeometry, settings: ExportSettings) -> Cost:
    """component: names.VISION_ENCODER, or names.TEXT_DECODER with its head."""
    vision = component == names.VISION_ENCODER
    layers = geometry.vision.depth if vision else geometry.text.num_layers
    weights = sum(
        layer.weights
        for layer in linear_layers(geometry)
        if (layer.component == names.VISION_ENCODER) == vision
    )
    rates = _RATES[target, component]
    times = 1
    if target == names.COREML:
        times = len(settings.buckets) if vision else _COREML_FUNCTIONS
    elif vision and settings.vision_shapes == "buckets":
        times = len(settings.buckets)
    return Cost(
        quantize=rates.quantize.of(layers, weights),
        trace=times * rates.trace.of(layers, weights),
        lower=times * rates.lower.of(layers, weights),
        check=rates.check.of(layers, weights),
    )


def unit_cost(unit: str, patches: int, tokens: int, plan: LayerPlan) -> float:
    """Seconds that calibration takes over one block, layer, merger or head: a name that starts those of its
    layers. patches, tokens: of all samples together."""
    seconds, decided, calibrated = 0.0, False, frozenset(plan.calibrated)
    correcting = _CORRECTED if plan.recipe.calibration.correction else 1.0
    for layer, _ in plan.layers:
        if not f"{layer.name}.".startswith(f"{unit}."):
            continue
        tower = layer.component == names.VISION_ENCODER
        rows = patches if tower else tokens
        if layer.name in calibrated:
            decided = True
            seconds += rows * layer.weights * _DECIDE * (1.0 if tower else correcting)
            seconds += _FACTORIZE * layer.in_features**3
        else:
            seconds += rows * layer.weights * _RUN
    return seconds + (_UNIT if decided else _UNIT / 8)


def reading_cost(samples: int) -> float:
    """Seconds until calibration has its inputs."""
    return _START + _SAMPLE * samples


def calibration_cost(plan: LayerPlan, settings: ExportSettings, image: ImageSettings) -> float:
    """Seconds, as far as they can be known without reading the samples: own images count as large ones."""
    calibration = plan.recipe.calibration
    if not plan.recipe.calibrated:
        return 0.0
    patches, tokens = _sample_size(calibration.data or GENERATED, plan.geometry, settings, image)
    samples = calibration.samples
    units = dict.fromkeys(_unit_of(name) for name in plan.precisions)
    return reading_cost(samples) + sum(
        unit_cost(unit, samples * patches, samples * tokens, plan) for unit in units
    )


def export_cost(
    target: str,
    plan: LayerPlan,
    settings: ExportSettings,
    image: ImageSettings,
    disk: int,
    *,
    together: bool,
) -> ExportCost:
    """disk: bytes of the bundle. together: whether components are made at the same time."""
    vision, text = (
        sum(component_cost(target, component, plan.geometry, settings).seconds)
        for component in (names.VISION_ENCODER, names.TEXT_DECODER)
    )
    calibration = calibration_cost(plan, settings, image)
    return ExportCost(_START_OF[target], calibration, vision, text, disk / _HASHED, together)


def _sample_size(
    data: str, geometry: ModelGeometry, settings: ExportSettings, image: ImageSettings
) -> tuple[int, int]:
    """Patches and tokens of one sample."""
    if data == GENERAL:
        return _GENERAL
    kind, _, side = data.partition(":")
    if kind == "generated" and not side.isdecimal():
        return _GENERATED
    pixels = int(side) ** 2 if kind == "generated" else image.max_pixels
    patches = min(settings.buckets[-1], min(pixels, image.max_pixels) // geometry.vision.patch_size**2)
    return patches, patches // geometry.vision.merge_area + _PROMPT


def _unit_of(layer: str) -> str:
    """text_decoder.layers.3.q_proj -> text_decoder.layers.3; vision_encoder.patch_embed as it is."""
    words = layer.split(".")
    return ".".join(words[:3]) if len(words) == 4 else ".".join(words[:2])
