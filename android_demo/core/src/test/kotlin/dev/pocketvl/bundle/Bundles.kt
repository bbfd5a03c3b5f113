package dev.pocketvl.bundle

import dev.pocketvl.Golden
import dev.pocketvl.int
import dev.pocketvl.json.Json
import dev.pocketvl.listOf
import dev.pocketvl.members
import java.io.File

/** The valid manifest of that target in manifests.json, as maps and lists that may be changed. */
fun goldenJson(target: String): Map<String, Any?> = copied(BUNDLES[target]).members()

private val BUNDLES by lazy { Golden.read("manifests")["bundles"].members() }

fun goldenManifest(target: String): Manifest = manifest(goldenJson(target), "manifest.json")

/** Files of zeros and of the sizes that the manifest lists, and manifest.json. */
fun writeFiles(folder: File, manifest: Map<String, Any?>) {
    for (record in manifest["files"].listOf<Map<String, Any?>>()) {
        val file = folder.resolve(record["path"] as String)
        file.parentFile.mkdirs()
        file.writeBytes(ByteArray(record["size"].int()))
    }
    folder.resolve("manifest.json").writeText(Json.write(manifest))
}

/** The same with the right hashes in the manifest, and manifest.sha256: a bundle that opens whatever is checked. */
fun writeBundle(folder: File, target: String = "onnx") {
    val value = goldenJson(target)
    for (record in (value["files"].listOf<MutableMap<String, Any?>>())) {
        record["sha256"] = hex(sha256().digest(ByteArray(record["size"].int())))
    }
    writeFiles(folder, value)
    writeManifestHash(folder)
}

fun writeManifestHash(folder: File) {
    val digest = hex(sha256().digest(folder.resolve("manifest.json").readBytes()))
    folder.resolve("manifest.sha256").writeText("$digest  manifest.json\n")
}

/** Maps and lists all the way down, which nobody else holds. */
fun copied(value: Any?): Any? =
    when (value) {
        is Map<*, *> -> value.mapValuesTo(LinkedHashMap()) { copied(it.value) }
        is List<*> -> value.mapTo(ArrayList()) { copied(it) }
        else -> value
    }

/** The list or map that holds the last step of [path]. */
fun ownerOf(value: Any?, path: List<Any?>): Any? =
    path.dropLast(1).fold(value) { inner, step -> if (inner is List<*>) inner[step.int()] else inner.members()[step] }

fun put(value: Any?, path: List<Any?>, new: Any?) {
    when (val owner = ownerOf(value, path)) {
        is MutableList<*> -> owner.listOf<Any?>().let { (it as MutableList<Any?>)[path.last().int()] = new }
        else -> (owner.members() as MutableMap<String, Any?>)[path.last() as String] = new
    }
}

fun remove(value: Any?, path: List<Any?>) {
    when (val owner = ownerOf(value, path)) {
        is MutableList<*> -> owner.removeAt(path.last().int())
        else -> (owner.members() as MutableMap<String, Any?>).remove(path.last() as String)
    }
}
