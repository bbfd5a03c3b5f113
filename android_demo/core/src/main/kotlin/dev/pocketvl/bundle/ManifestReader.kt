package dev.pocketvl.bundle

import dev.pocketvl.ManifestException
import dev.pocketvl.Names
import java.io.File

/**
 * Parses and validates manifest.json alone: for what must be known of a bundle before all its files are there.
 *
 * Throws [ManifestException].
 */
fun readManifest(file: File): Manifest {
    if (!file.exists()) {
        throw ManifestException("$file does not exist; is this folder a bundle that `pocketvl export` wrote?")
    }
    val value = readJson(file.absoluteFile.parentFile ?: file, file.name, ::ManifestException)
    val version = (value as? Map<*, *>)?.get("schema_version")
    if (version != Names.SCHEMA_VERSION.toLong() && version != Names.SCHEMA_VERSION.toDouble()) {
        throw ManifestException(
            "$file has schema_version ${shortened(
                version,
            )}, but this pocketvl reads ${Names.SCHEMA_VERSION}; export the" +
                " bundle again with this version.",
        )
    }
    return manifest(value, file.path)
}

internal fun manifest(value: Any?, where: String): Manifest =
    readStrictly(value, where, MANIFEST) {
        Manifest(
            schemaVersion = int("schema_version"),
            target = string("target"),
            recipe = string("recipe"),
            quantizationMethod = string("quantization_method"),
            geometry = modelGeometry(this["geometry"], at("geometry")),
            specialTokens = specialTokens(this["special_tokens"], at("special_tokens")),
            image = imageSettings(this["image"], at("image")),
            buckets = list("buckets", ::toInt),
            maxContext = int("max_context"),
            prefillChunk = int("prefill_chunk"),
            chat = boolean("chat"),
            sampling = samplingDefaults(this["sampling"], at("sampling")),
            entryPoints = list("entry_points", ::entryPoint),
            tokenEmbedding = embeddingTable(this["token_embedding"], at("token_embedding")),
            layers = list("layers", ::layerGroup),
            files = list("files", ::fileRecord),
            optionalFiles = list("optional_files", ::fileRecord),
            provenance = provenance(this["provenance"], at("provenance")),
        )
    }

private fun entryPoint(value: Any?, where: String): EntryPoint =
    readStrictly(value, where, ENTRY_POINT) {
        EntryPoint(
            name = string("name"),
            file = string("file"),
            method = string("method"),
            patches = intOrNull("patches"),
            inputs = list("inputs", ::tensorSpec),
            outputs = list("outputs", ::tensorSpec),
        )
    }

private fun tensorSpec(value: Any?, where: String): TensorSpec =
    readStrictly(value, where, TENSOR_SPEC) {
        TensorSpec(name = string("name"), dtype = string("dtype"), shape = list("shape", ::dimension))
    }

private fun dimension(value: Any?, where: String): Dimension =
    if (value is String) Dimension.Dynamic(value) else Dimension.Size(toInt(value, where))

private fun embeddingTable(value: Any?, where: String): EmbeddingTable =
    readStrictly(value, where, EMBEDDING_TABLE) {
        EmbeddingTable(
            file = string("file"),
            rows = int("rows"),
            columns = int("columns"),
            storage = string("storage"),
            dataOffset = long("data_offset"),
            scalesOffset = longOrNull("scales_offset"),
            scalesDtype = stringOrNull("scales_dtype"),
            groupSize = intOrNull("group_size"),
        )
    }

private fun layerGroup(value: Any?, where: String): LayerGroup =
    readStrictly(value, where, LAYER_GROUP) {
        LayerGroup(
            component = string("component"),
            bits = int("bits"),
            groupSize = intOrNull("group_size"),
            layers = int("layers"),
            parameters = long("parameters"),
            bytes = long("bytes"),
        )
    }

private fun fileRecord(value: Any?, where: String): FileRecord =
    readStrictly(value, where, FILE_RECORD) {
        FileRecord(path = string("path"), size = long("size"), sha256 = string("sha256"))
    }

private fun provenance(value: Any?, where: String): Provenance =
    readStrictly(value, where, PROVENANCE, optional = setOf("source_revision")) {
        Provenance(
            source = string("source"),
            sourceSha256 = string("source_sha256"),
            calibration = stringOrNull("calibration"),
            calibrationSha256 = stringOrNull("calibration_sha256"),
            pocketvl = string("pocketvl"),
            tools = texts("tools"),
            command = string("command"),
            sourceRevision = stringOrNull("source_revision"),
        )
    }

private val MANIFEST =
    listOf(
        "schema_version",
        "target",
        "recipe",
        "quantization_method",
        "geometry",
        "special_tokens",
        "image",
        "buckets",
        "max_context",
        "prefill_chunk",
        "chat",
        "sampling",
        "entry_points",
        "token_embedding",
        "layers",
        "files",
        "optional_files",
        "provenance",
    )
private val ENTRY_POINT = listOf("name", "file", "method", "patches", "inputs", "outputs")
private val TENSOR_SPEC = listOf("name", "dtype", "shape")
private val EMBEDDING_TABLE =
    listOf(
        "file",
        "rows",
        "columns",
        "storage",
        "data_offset",
        "scales_offset",
        "scales_dtype",
        "group_size",
    )
private val LAYER_GROUP = listOf("component", "bits", "group_size", "layers", "parameters", "bytes")
private val FILE_RECORD = listOf("path", "size", "sha256")
private val PROVENANCE =
    listOf(
        "source",
        "source_sha256",
        "calibration",
        "calibration_sha256",
        "pocketvl",
        "tools",
        "command",
        "source_revision",
    )
