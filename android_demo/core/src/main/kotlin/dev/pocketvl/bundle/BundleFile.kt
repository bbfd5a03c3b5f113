package dev.pocketvl.bundle

import dev.pocketvl.BundleException
import dev.pocketvl.json.Json
import dev.pocketvl.json.JsonException
import dev.pocketvl.readAtMost
import java.io.File
import java.io.IOException
import java.nio.charset.CharacterCodingException

private const val MOST_JSON = 16L shl 20 // bytes; a manifest of the 7B model has less than a hundredth of them

/** Bytes of the regular file [path], a path inside the bundle. Throws what [refusal] makes for anything else there. */
internal fun fileSize(folder: File, path: String, refusal: (String) -> BundleException = ::BundleException): Long {
    val file = File(folder, path)
    try {
        if (!file.canonicalPath.startsWith(folder.canonicalPath.trimEnd('/') + "/")) {
            throw refusal("$file is a link that leaves the bundle; put a copy of the file in its place.")
        }
    } catch (error: IOException) {
        throw refusal("$file cannot be read (${error.message}); copy the bundle again.")
    }
    if (!file.isFile) {
        val what = if (file.exists() && !file.isDirectory) "is no regular file" else "is missing"
        throw refusal("$file $what; copy the whole bundle again or export it again.")
    }
    return file.length()
}

/** What is in the JSON file [path], a path inside the bundle. Throws what [refusal] makes where that cannot be known. */
internal fun readJson(folder: File, path: String, refusal: (String) -> BundleException = ::BundleException): Any? {
    val file = File(folder, path)
    val size = fileSize(folder, path, refusal)
    if (size > MOST_JSON) {
        throw refusal("$file has $size bytes, more than any that pocketvl writes; export the bundle again.")
    }
    try {
        return Json.parse(file.inputStream().use { it.readAtMost(size.toInt()) })
    } catch (error: CharacterCodingException) {
        throw refusal("$file cannot be read: it is not UTF-8; export the bundle again.")
    } catch (error: IOException) {
        throw refusal("$file cannot be read (${error.message}); copy the bundle again.")
    } catch (error: JsonException) {
        throw refusal("$file is not valid JSON (${error.message}); export the bundle again.")
    }
}
