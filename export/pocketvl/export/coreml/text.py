"""The decoder becomes text_decoder.mlpackage or several of its chunks; the head comes along."""

from pathlib import Path

from pocketvl.export.component import Component, ExportSettings, TensorSource
from pocketvl.export.coreml.census import census, expected, stored_layers
from pocketvl.export.coreml.describe import describe
from pocketvl.export.coreml.function import Signature, build_function
from pocketvl.export.coreml.head import export_head
from pocketvl.export.coreml.package import write_package
from pocketvl.export.coreml.placeholders import prepare
from pocketvl.export.coreml.text_graph import DecoderChunk
from pocketvl.export.cost import component_cost
from pocketvl.export.layer_groups import layer_groups
from pocketvl.export.progress import Progress, Steps, part, parts
from pocketvl.export.weights import leaf_sizes
from pocketvl.quant.recipe import Recipe
from pocketvl.runtime import names
from pocketvl.runtime.entry_points import package_decoder, token_counts
from pocketvl.runtime.errors import UsageError
from pocketvl.runtime.geometry import TextGeometry
from pocketvl.runtime.manifest import EmbeddingTable, EntryPoint, LayerGroup, TensorSpec

_HEAD_WRITTEN = 0.1  # share of the time
_STATE_MULTIPLE = 32  # Core ML's states need it


def export_text_packages(
    source: TensorSource,
    recipe: Recipe,
    settings: ExportSettings,
    eos: tuple[int, ...],
    folder: Path,
    progress: Progress,
) -> tuple[Component, EmbeddingTable]:
    """Write head.mlpackage, and text_decoder.mlpackage or text_decoder_0.mlpackage .., into a folder.

    One chunk is in memory at a time. Raises UsageError for settings that Core ML cannot take,
    CheckpointError, RecipeError, CensusError, ExportError, MissingExtraError.
    """
    text = source.geometry.text
    spans = chunk_spans(text, settings)
    head, table = export_head(source, recipe, settings, folder, part(progress, 0.0, _HEAD_WRITTEN))
    entries: list[EntryPoint] = []
    layers: list[LayerGroup] = []
    for index, span in enumerate(spans):
        start, end = (_HEAD_WRITTEN + (1 - _HEAD_WRITTEN) * (index + i) / len(spans) for i in (0, 1))
        file = names.text_decoder_package(index, len(spans))
        chunk = _export_chunk(source, recipe, settings, span, folder / file, part(progress, start, end))
        entries += chunk.entry_points
        layers += chunk.layers
    return Component((*entries, *head.entry_points), (*_summed(layers), *head.layers)), table


def chunk_spans(text: TextGeometry, settings: ExportSettings) -> tuple[range, ...]:
    """Neighbouring layers for each chunk, the first ones larger by one. Raises UsageError."""
    count, chunks = text.num_layers, settings.decoder_chunks
    if chunks > count:
        raise UsageError(f"--decoder-packages {chunks} is more than the model's {count} layers.")
    if settings.max_context % _STATE_MULTIPLE:
        raise UsageError(
            f"--max-context {settings.max_context}: Core ML's key-value cache needs a multiple of"
            f" {_STATE_MULTIPLE}."
        )
    small, larger = divmod(count, chunks)
    ends = [small * (index + 1) + min(index + 1, larger) for index in range(chunks)]
    return tuple(range(start, end) for start, end in zip([0, *ends], ends, strict=False))


def decoder_states(text: TextGeometry, max_context: int, layers: int) -> tuple[TensorSpec, TensorSpec]:
    """The key-value cache of a chunk of so many layers."""
    shape = (layers, text.num_kv_heads, max_context, text.head_dim)
    return TensorSpec(names.K_CACHE, "float16", shape), TensorSpec(names.V_CACHE, "float16", shape)


def _export_chunk(
    source: TensorSource,
    recipe: Recipe,
    settings: ExportSettings,
    span: range,
    path: Path,
    progress: Progress,
) -> Component:
    text = source.geometry.text
    chunk = DecoderChunk(text, recipe, settings.max_context, span)
    cost = component_cost(names.COREML, names.TEXT_DECODER, source.geometry, recipe, settings)
    quantizing, _, converting, writing = parts(progress, cost.seconds)
    steps = Steps(quantizing, "Quantizing the decoder", leaf_sizes(chunk))
    weights = prepare(chunk, source, recipe.method, steps.next)
    wanted = expected(weights.values())
    counts = token_counts(settings.prefill_chunk)
    entries = tuple(package_decoder(text, settings.max_context, tokens, path.name) for tokens in counts)
    states = decoder_states(text, settings.max_context, len(span))
    functions = {}
    for index, (entry, tokens) in enumerate(zip(entries, counts, strict=True)):
        converting(f"Converting the decoder for {tokens} tokens", index / len(entries))
        functions[entry.method] = build_function(chunk, Signature.of(entry, states), weights)
    writing("Writing the decoder", 0.0)
    facts: dict[str, int | str] = {
        "first_layer": span.start,
        "layers": len(span),
        "max_context": settings.max_context,
        "prefill_chunk": settings.prefill_chunk,
    }
    write_package(path, functions, describe("Decoder layers over a cache", source.geometry, recipe, facts))
    census(path, dict.fromkeys(functions, wanted))
    progress("Wrote the decoder", 1.0)
    return Component(
        entries,
        layer_groups(names.TEXT_DECODER, stored_layers(wanted)),
    )


def _summed(groups: list[LayerGroup]) -> tuple[LayerGroup, ...]:
    """Groups of the same bits in several chunks are one."""
    kinds = dict.fromkeys((group.component, group.bits, group.group_size) for group in groups)
    alike = [[g for g in groups if (g.component, g.bits, g.group_size) == kind] for kind in kinds]
    return tuple(
        LayerGroup(
            *kind, sum(g.layers for g in same), sum(g.parameters for g in same), sum(g.bytes for g in same)
        )
        for kind, same in zip(kinds, alike, strict=True)
    )
