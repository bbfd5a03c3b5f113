package dev.pocketvl.bundle

import dev.pocketvl.Names

/*
 * What the graphs of each target take and give, computed from a model's geometry and an export's settings. Exporters
 * write these entry points into the manifest, and a bundle with any others is refused.
 */

private const val FLOAT = "float32"

/** For ExecuTorch: any number of [patches] (null), or exactly so many, padding included. */
internal fun pteVision(vision: VisionGeometry, patches: Int?): EntryPoint {
    val rows: Any = patches ?: "patches"
    val tokens: Any = patches?.let { it / vision.mergeArea } ?: "tokens"
    return EntryPoint(
        name = Names.VISION_ENCODER,
        file = Names.VISION_ENCODER_PTE,
        method = patches?.let(Names::visionBucketMethod) ?: Names.VISION_ENCODER,
        patches = patches,
        inputs =
            listOf(spec(Names.PATCHES, FLOAT, rows, vision.patchDim)) + rope(rows, vision.headDim) +
                listOfNotNull(patches?.let { spec(Names.KEY_MASK, FLOAT, it) }),
        outputs = listOf(spec(Names.IMAGE_EMBEDDINGS, FLOAT, tokens, vision.outputSize)),
    )
}

/** For ExecuTorch: any number of tokens up to the prefill chunk. */
internal fun pteDecoder(text: TextGeometry): EntryPoint =
    EntryPoint(
        name = Names.TEXT_DECODER,
        file = Names.TEXT_DECODER_PTE,
        method = Names.TEXT_DECODER,
        patches = null,
        inputs =
            listOf(spec(Names.EMBEDDINGS, FLOAT, 1, "tokens", text.hiddenSize)) + rope("tokens", text.headDim) +
                spec(Names.CACHE_POSITION, "int64", 1),
        outputs = listOf(spec(Names.HIDDEN, FLOAT, 1, "tokens", text.hiddenSize)),
    )

/** For ExecuTorch: up to [Names.MAX_HEAD_ROWS] hidden states. */
internal fun pteHead(text: TextGeometry): EntryPoint =
    EntryPoint(
        name = Names.LM_HEAD,
        file = Names.TEXT_DECODER_PTE,
        method = Names.LM_HEAD,
        patches = null,
        inputs = listOf(spec(Names.HIDDEN, FLOAT, 1, "rows", text.hiddenSize)),
        outputs = listOf(spec(Names.LOGITS, FLOAT, 1, "rows", text.vocabSize)),
    )

/**
 * Those that a bundle for ExecuTorch or ONNX of this geometry and these settings has, in their order.
 *
 * Whether an ExecuTorch vision encoder has a method per bucket is in the entry points alone, and taken from there.
 */
internal fun expectedEntryPoints(manifest: Manifest): List<EntryPoint> {
    val (vision, text) = manifest.geometry
    if (manifest.target == Names.ONNX) return listOf(hostVision(vision), hostDecoder(text), hostHead(text))
    val isStatic = manifest.entries(Names.VISION_ENCODER)[0].patches != null
    val sizes = if (isStatic) manifest.buckets else listOf(null)
    return sizes.map { pteVision(vision, it) } + pteDecoder(text) + pteHead(text)
}

/** What about the manifest's entry points is not as expected, to follow the manifest's name; or null. */
internal fun entryPointFault(manifest: Manifest): String? {
    val found = manifest.entryPoints
    val expected = expectedEntryPoints(manifest)
    for ((given, wanted) in found.zip(expected)) difference(given, wanted)?.let { return it }
    return when {
        found.size < expected.size -> {
            "lacks the entry point ${called(expected[found.size])}"
        }

        found.size > expected.size -> {
            "has the entry point ${called(found[expected.size])}, which its target and settings do not"
        }

        else -> {
            null
        }
    }
}

private fun difference(given: EntryPoint, wanted: EntryPoint): String? {
    if (given.name != wanted.name || given.file != wanted.file || given.method != wanted.method) {
        return "has the entry point ${called(given)} where ${called(wanted)} belongs"
    }
    val method = "'${wanted.method}'"
    if (given.patches != wanted.patches) {
        return "gives the entry point $method the patches ${given.patches}, but it needs ${wanted.patches}"
    }
    return specDifference(method, "input", given.inputs, wanted.inputs)
        ?: specDifference(method, "output", given.outputs, wanted.outputs)
}

private fun specDifference(method: String, kind: String, given: List<TensorSpec>, wanted: List<TensorSpec>): String? {
    val names = given.map { it.name }
    val needed = wanted.map { it.name }
    if (names != needed) {
        return "gives the entry point $method the ${kind}s ${shortened(names)}, but it needs ${shortened(needed)}"
    }
    val (spec, need) = given.zip(wanted).firstOrNull { (spec, need) -> spec != need } ?: return null
    return "has the $kind '${need.name}' of the entry point $method as ${described(spec)}, but its geometry and" +
        " settings need ${described(need)}"
}

private fun called(entry: EntryPoint): String =
    "${shortened(entry.method)} (${shortened(entry.name)} in ${shortened(entry.file)})"

private fun described(spec: TensorSpec): String {
    val isPlain = spec.dtype.isNotEmpty() && spec.dtype.all { it.isLetterOrDigit() }
    return "${if (isPlain) spec.dtype.take(80) else shortened(spec.dtype)} ${shortened(spec.shape)}"
}
