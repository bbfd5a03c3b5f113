package dev.pocketvl.bundle

import dev.pocketvl.json.Json
import java.io.File
import java.io.IOException

/**
 * A file of a bundle as it was when its hash was last compared: [size] in bytes, [modified] in milliseconds since 1970,
 * and the [sha256] that it was found to have.
 *
 * java.io.File knows neither a file's inode nor the time of its last change of any kind, which Python compares as well.
 * So a file that was replaced by one of the same size and with the old time set again is not seen.
 */
internal data class Stamp(val size: Long, val modified: Long, val sha256: String)

// A file system may give the same time to all writes within so many milliseconds (FAT: 2 s), so a file changed as
// recently as that could change once more and look the same.
private const val RECENT = 2000L
private const val MOST_BYTES = 1L shl 20

internal fun stampOf(file: File, sha256: String) = Stamp(file.length(), file.lastModified(), sha256)

/** null for a file whose next write could have the same time. */
internal fun settledStamp(file: File, sha256: String): Stamp? =
    stampOf(file, sha256).takeIf { Math.abs(System.currentTimeMillis() - it.modified) > RECENT }

/** Those of the bundle in that folder, by path inside the bundle; none where they cannot be read. */
internal fun readStamps(stamps: File, bundle: File): Map<String, Stamp> {
    if (!stamps.isFile || stamps.length() > MOST_BYTES) return emptyMap()
    return try {
        val members = Json.parse(stamps.readBytes()) as Map<*, *>
        if (members["folder"] != bundle.canonicalPath) return emptyMap()
        (members["files"] as Map<*, *>).entries.associate { (path, value) ->
            val (size, modified, sha256) = value as List<*>
            path as String to Stamp(size as Long, modified as Long, sha256 as String)
        }
    } catch (_: Exception) {
        emptyMap() // a file of anything else costs the hashing again, no more
    }
}

/**
 * Remembers them instead of those before, if the file can be written; replaced as a whole, so that of two processes
 * that write at once the later one wins.
 */
internal fun writeStamps(stamps: File, bundle: File, found: Map<String, Stamp>) {
    val folder = stamps.absoluteFile.parentFile ?: return
    try {
        folder.mkdirs()
        val files = found.mapValues { (_, stamp) -> listOf(stamp.size, stamp.modified, stamp.sha256) }
        val partial = File.createTempFile(stamps.name + ".", ".partial", folder)
        try {
            partial.writeText(Json.write(mapOf("folder" to bundle.canonicalPath, "files" to files)))
            partial.renameTo(stamps)
        } finally {
            partial.delete() // nothing is there once it was renamed
        }
    } catch (_: IOException) {
        return // the next opening hashes again
    }
}
