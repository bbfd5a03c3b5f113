package dev.pocketvl.presentation.transfer

import dev.pocketvl.BundleException
import dev.pocketvl.Names
import dev.pocketvl.presentation.platform.BundlePlace
import dev.pocketvl.presentation.platform.InstalledBundle
import java.io.File
import java.util.Locale

/**
 * Folders of bundles in one [folder]. What begins with a dot is work in progress: a bundle gets its name when all of
 * it is there.
 */
class BundleFolders(private val folder: File, private val place: BundlePlace) {
    /** By name. */
    fun list(): List<InstalledBundle> =
        folder
            .listFiles { file -> isBundle(file) }
            .orEmpty()
            .sortedBy { it.name }
            .map { found ->
                InstalledBundle(found, place, found.walkTopDown().filter { it.isFile }.sumOf { it.length() })
            }

    /** Throws [BundleException] where a file of it stays. */
    fun delete(bundle: File) {
        if (bundle.absoluteFile.parentFile != folder.absoluteFile || !isBundle(bundle)) {
            throw BundleException("$bundle is no bundle in $folder, so it was not deleted.")
        }
        val doomed = File(folder, ".deleting-${bundle.name}")
        doomed.deleteRecursively()
        if (!bundle.renameTo(doomed)) {
            throw BundleException("$bundle cannot be deleted; delete it with the program that put it there.")
        }
        if (!doomed.deleteRecursively()) {
            throw BundleException("Some files of $bundle cannot be deleted; they are in $doomed.")
        }
    }

    /** Removes what copies and deletions that were interrupted have left, but no downloads, which can go on. */
    fun removeLeftovers() {
        val left = folder.listFiles { file -> LEFTOVERS.any { file.name.startsWith(it) } }
        left.orEmpty().forEach { it.deleteRecursively() }
    }

    /** Throws [BundleException] unless [bytes] fit into [free], with room left for the app's own files. */
    fun requireSpace(bytes: Long, free: Long) {
        if (bytes > free - RESERVE) {
            throw BundleException(
                "The bundle needs ${megabytes(
                    bytes + RESERVE,
                )} of free storage, but there are ${megabytes(free)}; delete" +
                    " other files or bundles first.",
            )
        }
    }

    /** An empty folder to fill, under a name that [list] does not show. */
    fun begin(name: String): File {
        val begun = File(folder, "$COPYING${fileName(name)}")
        begun.deleteRecursively()
        if (!begun.mkdirs()) {
            throw BundleException(
                "The folder $begun cannot be made; is the storage full or read-only?",
            )
        }
        return begun
    }

    /** Moves the [filled] folder into place under [name], or that with a number where it is taken, in one step. */
    fun finish(filled: File, name: String): File {
        val wanted = fileName(name)
        var target = File(folder, wanted)
        var number = 2
        while (target.exists()) target = File(folder, "$wanted-${number++}")
        if (!filled.renameTo(
                target,
            )
        ) {
            throw BundleException("$filled cannot be renamed to $target; is the storage full?")
        }
        return target
    }

    private fun isBundle(file: File): Boolean =
        file.isDirectory && !file.name.startsWith(".") && File(file, Names.MANIFEST_FILE).isFile

    private fun megabytes(bytes: Long) = String.format(Locale.ROOT, "%d MB", (bytes + 999_999) / 1_000_000)

    private companion object {
        const val COPYING = ".copying-"
        const val LONGEST_NAME = 64
        const val RESERVE = 64L shl 20
        val LEFTOVERS = listOf(COPYING, ".deleting-")

        /** A name that every file system takes and that is no hidden one. */
        fun fileName(name: String): String {
            val letters = name.map { if (it.isLetterOrDigit() || it in "-_.") it else '-' }.joinToString("")
            return letters.trim('.', '-').take(LONGEST_NAME).ifEmpty { "bundle" }
        }
    }
}
