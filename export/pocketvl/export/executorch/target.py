"""ExecuTorch as a target: what it takes, how large its files get, and who writes them."""

from pocketvl.export.component import ExportSettings
from pocketvl.export.estimate import DISK_EXTRA, Estimate, artifact_bytes
from pocketvl.export.executorch.text import export_text
from pocketvl.export.executorch.vision import export_vision
from pocketvl.export.layer_plan import LayerPlan
from pocketvl.export.layers import Layer, lm_head
from pocketvl.export.target import Target
from pocketvl.quant.recipe import Precision
from pocketvl.runtime import names
from pocketvl.runtime.errors import UsageError


def check(settings: ExportSettings, plan: LayerPlan) -> None:
    """Raises UsageError for several decoders and for float16."""
    settings.check_one_decoder()
    for layer, precision in plan.layers:
        if precision.bits == 16:
            raise UsageError(
                f"The recipe {plan.recipe.name!r} stores {layer.name} in float16, which ExecuTorch bundles do"
                " not; use --target onnx or --target coreml, or give it 32 or 8 bits."
            )


def estimate(plan: LayerPlan, _: ExportSettings) -> Estimate:
    """One layer's weights are in memory at a time, beside what was written of the component."""
    artifacts = artifact_bytes(plan, bytes_of)
    decoder = artifacts[names.TEXT_DECODER] + artifacts[names.LM_HEAD]  # one file, written together
    memory = max(_peak(artifacts[names.VISION_ENCODER]), _peak(decoder))
    if not plan.geometry.text.tie_word_embeddings:
        artifacts[names.TOKEN_EMBEDDING] = bytes_of(lm_head(plan.geometry.text), plan.table_bits)
    return Estimate(artifacts, sum(artifacts.values()) + DISK_EXTRA, memory)


def bytes_of(layer: Layer, precision: Precision) -> int:
    """Weight and scales in a .pte file: int8 has a float32 scale a row, int4 a bfloat16 scale a group."""
    if precision.bits == 4 and precision.group_size is not None:
        return layer.weights // 2 + 2 * (layer.weights // precision.group_size)
    return layer.weights * precision.bits // 8 + (4 * layer.out_features if precision.bits == 8 else 0)


def _peak(artifact: int) -> int:
    """Fitted to measured exports: libraries, what is written, and copies of parts of it."""
    return 12 * 10**8 + 3 * artifact // 2


EXECUTORCH = Target(
    name=names.EXECUTORCH,
    packages=("torch", "torchao", "executorch"),
    check=check,
    estimate=estimate,
    bytes_of=bytes_of,
    export_vision=export_vision,
    export_text=export_text,
)
