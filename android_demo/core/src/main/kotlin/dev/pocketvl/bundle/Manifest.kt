package dev.pocketvl.bundle

/** A named input or output of an entry point. */
data class TensorSpec(
    val name: String,
    /** numpy's name. */
    val dtype: String,
    val shape: List<Dimension>,
)

/** A size, or the name of a dynamic one. */
sealed interface Dimension {
    data class Size(val value: Int) : Dimension

    data class Dynamic(val name: String) : Dimension
}

/** One callable graph. */
data class EntryPoint(
    /** vision_encoder, text_decoder, lm_head or token_embedding. */
    val name: String,
    val file: String,
    /** Differs from [name] for static shapes: vision_encoder_256. */
    val method: String,
    /** Static number of patches, null where it is dynamic. */
    val patches: Int?,
    val inputs: List<TensorSpec>,
    val outputs: List<TensorSpec>,
)

/**
 * Where a token's embedding is, to be gathered from a memory map.
 *
 * Row r of the table starts at [dataOffset] + r * row bytes. int8: value * scale; offset_int8: stored as value + 128.
 * int4: two values per byte, low nibble first, stored as value + 8; signed_int4: in two's complement. Scales are
 * row-major (rows, columns / groupSize).
 */
data class EmbeddingTable(
    val file: String,
    val rows: Int,
    val columns: Int,
    /** float32, float16, int8, offset_int8, int4 or signed_int4. */
    val storage: String,
    /** Bytes from the start of the file. */
    val dataOffset: Long,
    /** null for float storage, as are the next two. */
    val scalesOffset: Long?,
    /** float32, bfloat16 or float16. */
    val scalesDtype: String?,
    /** Columns that share a scale. */
    val groupSize: Int?,
)

/** Layers of one component that share bits. */
data class LayerGroup(
    val component: String,
    val bits: Int,
    val groupSize: Int?,
    val layers: Int,
    val parameters: Long,
    val bytes: Long,
)

/** A file of the bundle; [sha256] is 64 lowercase hexadecimal digits. */
data class FileRecord(val path: String, val size: Long, val sha256: String)

/** Where a bundle comes from. */
data class Provenance(
    val source: String,
    val sourceSha256: String,
    val calibration: String?,
    val calibrationSha256: String?,
    val pocketvl: String,
    /** Package to version. */
    val tools: Map<String, String>,
    val command: String,
    val sourceRevision: String?,
)

/** manifest.json: all that a runtime must know about a bundle. */
data class Manifest(
    val schemaVersion: Int,
    val target: String,
    val recipe: String,
    val quantizationMethod: String,
    val geometry: ModelGeometry,
    val specialTokens: SpecialTokens,
    val image: ImageSettings,
    /** Patches, ascending; the last bounds an image. */
    val buckets: List<Int>,
    /** Tokens that the KV cache holds. */
    val maxContext: Int,
    /** Most tokens of one text_decoder call. */
    val prefillChunk: Int,
    /** false: a base model, prompted by completion. */
    val chat: Boolean,
    val sampling: SamplingDefaults,
    val entryPoints: List<EntryPoint>,
    val tokenEmbedding: EmbeddingTable,
    val layers: List<LayerGroup>,
    val files: List<FileRecord>,
    val optionalFiles: List<FileRecord>,
    val provenance: Provenance,
) {
    /** The entry points of that name, smallest static shape first. */
    fun entries(name: String): List<EntryPoint> = entryPoints.filter { it.name == name }.sortedBy { it.patches ?: 0 }
}
