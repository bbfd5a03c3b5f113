package dev.pocketvl.bundle

import dev.pocketvl.Names

// Names, dtypes and shapes of the ONNX graphs that a host runs, as they follow from the geometry.

private const val FLOAT = "float32"

/** For ONNX: any number of patches. */
internal fun hostVision(vision: VisionGeometry): EntryPoint =
    EntryPoint(
        name = Names.VISION_ENCODER,
        file = Names.HOST_VISION_ENCODER,
        method = "main",
        patches = null,
        inputs =
            listOf(spec(Names.PATCHES, FLOAT, "patches", vision.patchDim)) + rope("patches", vision.headDim),
        outputs = listOf(spec(Names.IMAGE_EMBEDDINGS, FLOAT, "tokens", vision.outputSize)),
    )

/** For ONNX: any number of tokens. Keys and values of the slots so far go in, those with the new tokens come out. */
internal fun hostDecoder(text: TextGeometry): EntryPoint =
    EntryPoint(
        name = Names.TEXT_DECODER,
        file = Names.HOST_TEXT_DECODER,
        method = "main",
        patches = null,
        inputs =
            listOf(spec(Names.EMBEDDINGS, FLOAT, 1, "tokens", text.hiddenSize)) + rope("tokens", text.headDim) +
                spec(Names.SEQLENS_K, "int32", 1) + spec(Names.TOTAL_SEQUENCE_LENGTH, "int32") +
                caches(text, "past", Names::pastTensor),
        outputs = listOf(hidden(text)) + caches(text, "total", Names::presentTensor),
    )

/** For ONNX: any number of hidden states. */
internal fun hostHead(text: TextGeometry): EntryPoint =
    EntryPoint(
        name = Names.LM_HEAD,
        file = Names.HOST_LM_HEAD,
        method = "main",
        patches = null,
        inputs = listOf(hidden(text)),
        outputs = listOf(spec(Names.LOGITS, FLOAT, 1, "tokens", text.vocabSize)),
    )

private fun hidden(text: TextGeometry) = spec(Names.HIDDEN, FLOAT, 1, "tokens", text.hiddenSize)

/** Key and value of layer 0, of layer 1 .. */
private fun caches(text: TextGeometry, slots: String, name: (Int, String) -> String): List<TensorSpec> =
    (0 until text.numLayers).flatMap { layer ->
        listOf("key", "value").map { spec(name(layer, it), FLOAT, 1, text.numKvHeads, slots, text.headDim) }
    }

/** Cosine and sine for so many [rows], a number or the name of one. */
internal fun rope(rows: Any, headDim: Int): List<TensorSpec> =
    listOf(spec(Names.ROPE_COS, FLOAT, rows, headDim), spec(Names.ROPE_SIN, FLOAT, rows, headDim))

/** A dimension is an Int, or the name of a dynamic one. */
internal fun spec(name: String, dtype: String, vararg shape: Any): TensorSpec =
    TensorSpec(name, dtype, shape.map { if (it is Int) Dimension.Size(it) else Dimension.Dynamic(it as String) })
