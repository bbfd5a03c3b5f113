package dev.pocketvl.presentation.platform

import kotlinx.coroutines.flow.Flow
import java.io.File

/** Where a bundle's folder lies. */
enum class BundlePlace {
    /** Among the app's own files: copied or downloaded. */
    APP,

    /** In the folder that `adb push` can write to. */
    PUSHED,
}

/** A folder with a manifest.json, which nobody has verified yet. [bytes]: of all its files. */
data class InstalledBundle(val folder: File, val place: BundlePlace, val bytes: Long) {
    val name: String get() = folder.name
}

/** How far a copy or a download is, in bytes. [total] is null until it is known. */
data class Transfer(val done: Long, val total: Long?)

/**
 * The folders of bundles on this phone. Blocking calls are made off the main thread; each throws
 * [dev.pocketvl.BundleException] with a sentence for the user.
 */
interface BundleStore {
    /** The folder for `adb push`, to be shown; null where the phone has no such storage at the moment. */
    val pushFolder: File?

    /** By name; folders of copies that were interrupted are not among them. */
    fun list(): List<InstalledBundle>

    /** Bytes that a copy or download can fill. */
    fun freeBytes(): Long

    /** Removes the folder and all that is in it. */
    fun delete(bundle: InstalledBundle)

    /**
     * Copies a folder that the user chose (ACTION_OPEN_DOCUMENT_TREE) to the app's own files, since native runtimes
     * map files by path. Completes when the whole folder is there; a cancelled copy leaves nothing behind.
     */
    fun copy(treeUri: String): Flow<Transfer>
}

/** Gets bundles from the network. The flavour without the INTERNET permission has none. */
fun interface BundleDownloader {
    /**
     * The folder whose manifest.json is at [url], resumed where a former download stopped. Space is checked before,
     * hashes after; completes when the bundle can be opened. Throws [dev.pocketvl.BundleException].
     */
    fun download(url: String): Flow<Transfer>
}
