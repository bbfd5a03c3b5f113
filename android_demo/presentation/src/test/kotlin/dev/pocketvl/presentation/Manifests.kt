package dev.pocketvl.presentation

import dev.pocketvl.Names
import dev.pocketvl.bundle.EmbeddingTable
import dev.pocketvl.bundle.EntryPoint
import dev.pocketvl.bundle.FileRecord
import dev.pocketvl.bundle.ImageSettings
import dev.pocketvl.bundle.Manifest
import dev.pocketvl.bundle.ModelGeometry
import dev.pocketvl.bundle.Provenance
import dev.pocketvl.bundle.SamplingDefaults
import dev.pocketvl.bundle.SpecialTokens
import dev.pocketvl.bundle.TextGeometry
import dev.pocketvl.bundle.VisionGeometry

private val HASH = "0".repeat(64)

/** Of the full-size model's geometry, with files of these sizes. */
fun manifest(
    files: List<Pair<String, Long>> = listOf("text_decoder.pte" to 970_000_000L, "vision_encoder.pte" to 680_000_000L),
    buckets: List<Int> = listOf(256, 1024),
    maxContext: Int = 2048,
    prefillChunk: Int = 256,
) = Manifest(
    schemaVersion = 2,
    target = "executorch",
    recipe = "int4",
    quantizationMethod = "rtn",
    geometry =
        ModelGeometry(
            VisionGeometry(32, 1280, 5120, 16, 3, 14, 2, 2, 1536, 1e-6),
            TextGeometry(28, 1536, 8960, 12, 2, 128, 151_936, 1e6, 1e-6, listOf(16, 24, 24), 32_768, true),
        ),
    specialTokens = SpecialTokens(1, 2, 3, 4, listOf(5), 5),
    image = ImageSettings(3136, 200_704, listOf(0.5, 0.5, 0.5), listOf(0.3, 0.3, 0.3)),
    buckets = buckets,
    maxContext = maxContext,
    prefillChunk = prefillChunk,
    chat = true,
    sampling = SamplingDefaults(0.0, 0, 1.0, 1.0),
    entryPoints =
        listOf(Names.VISION_ENCODER, Names.TEXT_DECODER, Names.LM_HEAD).map { name ->
            EntryPoint(name, files.first().first, name, null, emptyList(), emptyList())
        },
    tokenEmbedding = EmbeddingTable(files.first().first, 151_936, 1536, "int8", 0, 0, "float32", 1536),
    layers = emptyList(),
    files = files.map { (path, size) -> FileRecord(path, size, HASH) },
    optionalFiles = emptyList(),
    provenance = Provenance("Qwen2-VL-2B", HASH, null, null, "0.1.0", emptyMap(), "pocketvl export", null),
)
