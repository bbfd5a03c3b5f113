package dev.pocketvl.bundle

import dev.pocketvl.ManifestException
import dev.pocketvl.Names
import dev.pocketvl.readAtMost
import java.io.File
import java.io.IOException

/**
 * Throws [ManifestException] unless manifest.json is what manifest.sha256 was written for, the one file that no record
 * covers.
 *
 * That is one line, as `sha256sum manifest.json` writes it: 64 lowercase hexadecimal digits, two spaces, the name.
 */
internal fun checkManifestHash(folder: File) {
    val manifest = File(folder, Names.MANIFEST_FILE)
    val recorded = File(folder, Names.MANIFEST_HASH_FILE)
    if (!recorded.exists()) {
        throw ManifestException(
            "$recorded is missing, so that damage to $manifest would not be seen; copy the whole bundle again or" +
                " export it again.",
        )
    }
    val isSame =
        try {
            val expected = "${hashOf(manifest)}  ${manifest.name}\n".toByteArray()
            fileSize(folder, recorded.name, ::ManifestException) == expected.size.toLong() &&
                recorded.inputStream().use { it.readAtMost(expected.size) }.contentEquals(expected)
        } catch (error: IOException) {
            throw ManifestException(
                "A file of $folder cannot be read (${error.message}); copy the bundle again.",
                error,
            )
        }
    if (!isSame) {
        throw ManifestException(
            "$manifest is not what $recorded was written for, so one of the two is damaged or was edited; copy the" +
                " bundle again or export it again.",
        )
    }
}

private fun hashOf(file: File): String {
    val digest = sha256()
    val buffer = ByteArray(1 shl 16)
    file.inputStream().use { input ->
        while (true) {
            val size = input.read(buffer)
            if (size < 0) break
            digest.update(buffer, 0, size)
        }
    }
    return hex(digest.digest())
}
