"""What the graphs of each target take and give, computed from a model's geometry and an export's settings.

Exporters write these entry points into the manifest, and a bundle with any others is refused.
"""

from collections.abc import Sequence

from pocketvl.runtime import names
from pocketvl.runtime.bundle.geometry import ModelGeometry, TextGeometry, VisionGeometry
from pocketvl.runtime.bundle.manifest import EntryPoint, Manifest, TensorSpec
from pocketvl.runtime.bundle.signature import host_signature
from pocketvl.runtime.bundle.strict import shortened

_HALF, _FLOAT = "float16", "float32"


def pte_vision(vision: VisionGeometry, patches: int | None) -> EntryPoint:
    """For ExecuTorch: any number of patches (None), or exactly so many, padding included."""
    rows: int | str = "patches" if patches is None else patches
    tokens: int | str = "tokens" if patches is None else patches // vision.merge_area
    mask = () if patches is None else (TensorSpec(names.KEY_MASK, _FLOAT, (patches,)),)
    return EntryPoint(
        name=names.VISION_ENCODER,
        file=names.VISION_ENCODER_PTE,
        method=names.VISION_ENCODER if patches is None else names.vision_bucket_method(patches),
        patches=patches,
        inputs=(
            TensorSpec(names.PATCHES, _FLOAT, (rows, vision.patch_dim)),
            *_rope(_FLOAT, rows, vision.head_dim),
            *mask,
        ),
        outputs=(TensorSpec(names.IMAGE_EMBEDDINGS, _FLOAT, (tokens, vision.output_size)),),
    )


def pte_decoder(text: TextGeometry) -> EntryPoint:
    """For ExecuTorch: any number of tokens up to the prefill chunk."""
    return EntryPoint(
        name=names.TEXT_DECODER,
        file=names.TEXT_DECODER_PTE,
        method=names.TEXT_DECODER,
        patches=None,
        inputs=(
            TensorSpec(names.EMBEDDINGS, _FLOAT, (1, "tokens", text.hidden_size)),
            *_rope(_FLOAT, "tokens", text.head_dim),
            TensorSpec(names.CACHE_POSITION, "int64", (1,)),
        ),
        outputs=(TensorSpec(names.HIDDEN, _FLOAT, (1, "tokens", text.hidden_size)),),
    )


def pte_head(text: TextGeometry) -> EntryPoint:
    """For ExecuTorch: up to MAX_HEAD_ROWS hidden states."""
    return EntryPoint(
        name=names.LM_HEAD,
        file=names.TEXT_DECODER_PTE,
        method=names.LM_HEAD,
        patches=None,
        inputs=(TensorSpec(names.HIDDEN, _FLOAT, (1, "rows", text.hidden_size)),),
        outputs=(TensorSpec(names.LOGITS, _FLOAT, (1, "rows", text.vocab_size)),),
    )


def package_vision(vision: VisionGeometry, patches: int) -> EntryPoint:
    """For Core ML: exactly so many patches, padding included."""
    return EntryPoint(
        name=names.VISION_ENCODER,
        file=names.VISION_ENCODER_PACKAGE,
        method=names.encode_function(patches),
        patches=patches,
        inputs=(
            TensorSpec(names.PATCHES, _HALF, (patches, vision.patch_dim)),
            *_rope(_HALF, patches, vision.head_dim),
            TensorSpec(names.KEY_MASK, _HALF, (patches,)),
        ),
        outputs=(
            TensorSpec(names.IMAGE_EMBEDDINGS, _HALF, (patches // vision.merge_area, vision.output_size)),
        ),
    )


def package_decoder(text: TextGeometry, max_context: int, tokens: int, file: str) -> EntryPoint:
    """For Core ML: exactly so many tokens, through the layers of the package `file`."""
    return EntryPoint(
        name=names.TEXT_DECODER,
        file=file,
        method=names.decoder_function(tokens),
        patches=None,
        inputs=(
            TensorSpec(names.EMBEDDINGS, _HALF, (1, tokens, text.hidden_size)),
            *_rope(_HALF, tokens, text.head_dim),
            TensorSpec(names.CACHE_POSITION, "int32", (1,)),
            TensorSpec(names.ATTENTION_MASK, _HALF, (1, 1, tokens, max_context)),
        ),
        outputs=(TensorSpec(names.HIDDEN, _HALF, (1, tokens, text.hidden_size)),),
    )


def package_head(text: TextGeometry, prefill_chunk: int) -> tuple[EntryPoint, EntryPoint]:
    """For Core ML: lm_head for one hidden state, and token_embedding for a whole prefill chunk."""

    def entry(name: str, given: TensorSpec, result: TensorSpec) -> EntryPoint:
        return EntryPoint(name, names.HEAD_PACKAGE, name, None, (given,), (result,))

    width = text.hidden_size
    return (
        entry(
            names.LM_HEAD,
            TensorSpec(names.HIDDEN, _HALF, (1, 1, width)),
            TensorSpec(names.LOGITS, _HALF, (1, 1, text.vocab_size)),
        ),
        entry(
            names.TOKEN_EMBEDDING,
            TensorSpec(names.TOKEN_IDS, "int32", (1, prefill_chunk)),
            TensorSpec(names.EMBEDDINGS, _HALF, (1, prefill_chunk, width)),
        ),
    )


def token_counts(prefill_chunk: int) -> tuple[int, ...]:
    """Tokens of each Core ML function's call: 1 to decode, and a quarter and all of a chunk to prefill."""
    return tuple(sorted({1, max(1, prefill_chunk // 4), prefill_chunk}))


def host_graph(name: str, file: str, geometry: ModelGeometry) -> EntryPoint:
    """For ONNX: any number of patches or tokens."""
    signature = host_signature(name, geometry)
    return EntryPoint(name, file, "main", None, signature.inputs, signature.outputs)


def expected_entry_points(manifest: Manifest) -> tuple[EntryPoint, ...]:
    """Those that a bundle of this target, geometry and settings has, in their order.

    Two settings are in the entry points alone, and taken from there: whether an ExecuTorch vision encoder
    has a method a bucket, and into how many packages a Core ML decoder is split.
    """
    vision, text, buckets = manifest.geometry.vision, manifest.geometry.text, manifest.buckets
    match manifest.target:
        case names.EXECUTORCH:
            static = manifest.entries(names.VISION_ENCODER)[0].patches is not None
            sizes: Sequence[int | None] = buckets if static else (None,)
            return (*(pte_vision(vision, size) for size in sizes), pte_decoder(text), pte_head(text))
        case names.COREML:
            files = {entry.file for entry in manifest.entries(names.TEXT_DECODER)}
            chunks = min(len(files), text.num_layers)
            decoders = (
                package_decoder(text, manifest.max_context, tokens, names.text_decoder_package(chunk, chunks))
                for chunk in range(chunks)
                for tokens in token_counts(manifest.prefill_chunk)
            )
            head = package_head(text, manifest.prefill_chunk)
            return (*(package_vision(vision, bucket) for bucket in buckets), *decoders, *head)
        case _:
            return tuple(
                host_graph(name, file, manifest.geometry)
                for name, file in (
                    (names.VISION_ENCODER, names.HOST_VISION_ENCODER),
                    (names.TEXT_DECODER, names.HOST_TEXT_DECODER),
                    (names.LM_HEAD, names.HOST_LM_HEAD),
                )
            )


def entry_point_fault(manifest: Manifest) -> str | None:
    """What about the manifest's entry points is not as expected, to follow the manifest's name; or None."""
    found, expected = manifest.entry_points, expected_entry_points(manifest)
    for given, wanted in zip(found, expected, strict=False):
        if (fault := _difference(given, wanted)) is not None:
            return fault
    if len(found) < len(expected):
        return f"lacks the entry point {_called(expected[len(found)])}"
    if len(found) > len(expected):
        return f"has the entry point {_called(found[len(expected)])}, which its target and settings do not"
    return None


def _difference(given: EntryPoint, wanted: EntryPoint) -> str | None:
    if (given.name, given.file, given.method) != (wanted.name, wanted.file, wanted.method):
        return f"has the entry point {_called(given)} where {_called(wanted)} belongs"
    method = repr(wanted.method)
    if given.patches != wanted.patches:
        return f"gives the entry point {method} the patches {given.patches}, but it needs {wanted.patches}"
    for kind, specs, needed in (
        ("input", given.inputs, wanted.inputs),
        ("output", given.outputs, wanted.outputs),
    ):
        found_names, needed_names = ([spec.name for spec in several] for several in (specs, needed))
        if found_names != needed_names:
            return (
                f"gives the entry point {method} the {kind}s {shortened(found_names)}, but it needs"
                f" {needed_names}"
            )
        for spec, need in zip(specs, needed, strict=True):
            if spec != need:
                return (
                    f"has the {kind} {need.name!r} of the entry point {method} as {_kind(spec)}, but its"
                    f" geometry and settings need {_kind(need)}"
                )
    return None


def _called(entry: EntryPoint) -> str:
    return f"{shortened(entry.method)} ({shortened(entry.name)} in {shortened(entry.file)})"


def _kind(spec: TensorSpec) -> str:
    dtype = spec.dtype if spec.dtype.isalnum() else repr(spec.dtype)
    return f"{dtype[:80]} {shortened(list(spec.shape))}"


def _rope(dtype: str, rows: int | str, head_dim: int) -> tuple[TensorSpec, TensorSpec]:
    shape = (rows, head_dim)
    return TensorSpec(names.ROPE_COS, dtype, shape), TensorSpec(names.ROPE_SIN, dtype, shape)
