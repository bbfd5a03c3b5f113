"""Core ML as a target: what it takes, how large its packages get, and who writes them."""

from collections.abc import Iterable

from pocketvl.export.component import ExportSettings
from pocketvl.export.coreml.package import import_coremltools
from pocketvl.export.coreml.text import chunk_spans, export_text
from pocketvl.export.coreml.vision import export_vision
from pocketvl.export.estimate import DISK_EXTRA, Estimate, artifact_bytes
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.layers import Layer, decoder_layer, lm_head
from pocketvl.export.target import Target
from pocketvl.quant.recipe import Precision
from pocketvl.runtime import names

# Fitted to measured exports (docs/decisions/0009-coreml.md): libraries, traces, a small program; what a
# weight takes at the peak beside its own integer (1 byte) or fp16 (2); and an element of the hidden states of
# every block in the largest bucket.
_PEAK_BASE = 11 * 10**8
_PEAK_PER_WEIGHT = {names.VISION_ENCODER: 6.0, names.TEXT_DECODER: 4.2, names.LM_HEAD: 14.0}
_PEAK_PER_HIDDEN = 32


def check(settings: ExportSettings, plan: LayerPlan) -> None:
    """Raises UsageError for a cache or chunks that do not fit, MissingExtraError."""
    import_coremltools()
    chunk_spans(plan.geometry.text, settings)


def estimate(plan: LayerPlan, settings: ExportSettings) -> Estimate:
    """One package is in memory at a time. Raises UsageError for too many chunks."""
    text, vision = plan.geometry.text, plan.geometry.vision
    head = lm_head(text)
    artifacts = artifact_bytes(plan, bytes_of)
    chunks = [
        [layer for index in span for layer in decoder_layer(text, index)]
        for span in chunk_spans(text, settings)
    ]
    heads = [layer for layer, _ in plan.layers if layer.component == names.LM_HEAD]
    if not text.tie_word_embeddings:
        artifacts[names.TOKEN_EMBEDDING] = bytes_of(head, plan.table_bits)
        heads.append(head)
    hidden = _PEAK_PER_HIDDEN * settings.buckets[-1] * vision.depth * vision.hidden_size
    tower = [layer for layer, _ in plan.layers if layer.component == names.VISION_ENCODER]
    memory = max(_peak(plan, tower) + hidden, *(_peak(plan, layers) for layers in (*chunks, heads)))
    return Estimate(artifacts, sum(artifacts.values()) + DISK_EXTRA, memory)


def bytes_of(layer: Layer, precision: Precision) -> int:
    """Weight and scales in weight.bin: fp16, or integers with a fp16 scale a row or a group."""
    if precision.is_float:
        return 2 * layer.weights
    groups = layer.in_features // precision.group_size if precision.group_size is not None else 1
    return layer.weights * precision.bits // 8 + 2 * layer.out_features * groups


def _peak(plan: LayerPlan, layers: Iterable[Layer]) -> int:
    """Bytes at the peak of one package."""
    held = 0.0
    for layer in layers:
        own = 2 if plan.precisions[layer.name].is_float else 1
        held += layer.weights * (_PEAK_PER_WEIGHT[layer.component] + own)
    return _PEAK_BASE + int(held)


COREML = Target(
    name=names.COREML,
    packages=("torch", "coremltools"),
    check=check,
    estimate=estimate,
    bytes_of=bytes_of,
    export_vision=export_vision,
    export_text=export_text,
)
