package dev.pocketvl.bundle

import dev.pocketvl.Names

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
) {
    init {
        require(storage in STORED_BITS) { "storage '$storage' is none of ${STORED_BITS.keys.joinToString()}" }
        if ("int" in storage) {
            require(scalesOffset != null && scalesDtype != null && groupSize != null) {
                "an integer table needs scales_offset, scales_dtype and group_size"
            }
            require(scalesDtype in SCALE_BYTES) {
                "scales_dtype '$scalesDtype' is none of ${SCALE_BYTES.keys.joinToString()}"
            }
            require(groupSize >= 1 && columns % groupSize == 0) {
                "group_size $groupSize does not divide $columns columns"
            }
        } else {
            require(scalesOffset == null && scalesDtype == null && groupSize == null) { "a float table has no scales" }
        }
        require(dataOffset >= 0 && (scalesOffset ?: 0) >= 0 && rows >= 1 && columns >= 1) {
            "offsets must not be negative, rows and columns at least 1"
        }
    }

    val rowBytes: Long get() = columns.toLong() * STORED_BITS.getValue(storage) / 8

    /** Bytes of the scales of one row; 0 for float storage. */
    val scaleRowBytes: Long
        get() =
            if (scalesDtype == null ||
                groupSize == null
            ) {
                0
            } else {
                columns / groupSize * SCALE_BYTES.getValue(scalesDtype)
            }

    /** The first byte behind the table and its scales; the largest Long where there is no such file. */
    val end: Long get() = maxOf(sectionEnd(dataOffset, rowBytes), sectionEnd(scalesOffset ?: 0, scaleRowBytes))

    private fun sectionEnd(offset: Long, bytesPerRow: Long): Long =
        if (bytesPerRow > (Long.MAX_VALUE - offset) / rows) Long.MAX_VALUE else offset + rows * bytesPerRow

    private companion object {
        val STORED_BITS =
            mapOf("float32" to 32, "float16" to 16, "int8" to 8, "offset_int8" to 8, "int4" to 4, "signed_int4" to 4)
        val SCALE_BYTES = mapOf("float32" to 4L, "bfloat16" to 2L, "float16" to 2L)
    }
}

/** Layers of one component that share bits. */
data class LayerGroup(
    val component: String,
    val bits: Int,
    val groupSize: Int?,
    val layers: Int,
    val parameters: Long,
    val bytes: Long,
) {
    init {
        require(bits >= 1 && (groupSize ?: 0) >= 0 && layers >= 1 && parameters >= 0 && bytes >= 0) {
            "bits, group_size and layers must be at least 1, parameters and bytes at least 0"
        }
        checkLayerLimits(bits, groupSize, layers)
    }
}

/** A file of the bundle; [sha256] is 64 lowercase hexadecimal digits. */
data class FileRecord(val path: String, val size: Long, val sha256: String) {
    init {
        require(sha256.length == 64 && sha256.all { it in '0'..'9' || it in 'a'..'f' }) {
            "the sha256 of $path is not 64 lowercase hexadecimal digits"
        }
    }
}

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
    init {
        require(target in Names.TARGETS) { "target '$target' is none of ${Names.TARGETS.joinToString()}" }
        require(buckets.isNotEmpty() && buckets[0] >= 1 && buckets.zipWithNext().all { (one, next) -> one < next }) {
            "buckets must be ascending numbers of patches, 1 or more"
        }
        val merge = geometry.vision.spatialMergeSize.toLong()
        require(buckets.all { it % (merge * merge) == 0L }) {
            "each bucket must be a multiple of ${merge * merge} patches"
        }
        require(prefillChunk in 1..maxContext) { "prefill_chunk $prefillChunk must lie in 1..$maxContext" }
        checkLimits(geometry, image, buckets, maxContext)
        checkPaths()
        for (needed in listOf(Names.VISION_ENCODER, Names.TEXT_DECODER, Names.LM_HEAD)) {
            require(entryPoints.any { it.name == needed }) { "the entry point $needed is missing" }
        }
    }

    /** Equal for bundles of equal files: in hex, over a line "sha256  path" for each of them, by path. */
    val contentSha256: String
        get() {
            val digest = sha256()
            for (record in files.sortedWith { one, other -> comparePaths(one.path, other.path) }) {
                digest.update("${record.sha256}  ${record.path}\n".toByteArray())
            }
            return hex(digest.digest())
        }

    /** The entry points of that name, smallest static shape first. */
    fun entries(name: String): List<EntryPoint> = entryPoints.filter { it.name == name }.sortedBy { it.patches ?: 0 }

    private fun checkPaths() {
        val listed = HashSet<String>()
        for (record in files + optionalFiles) {
            checkRelative(record.path)
            require(listed.add(record.path)) { "the file ${record.path} is listed twice" }
        }
        for (path in entryPoints.map { it.file } + tokenEmbedding.file) {
            val isListed = files.any { it.path == path } || listed.any { it.startsWith("$path/") }
            require(isListed) { "$path is used but not listed under files" }
        }
    }
}
