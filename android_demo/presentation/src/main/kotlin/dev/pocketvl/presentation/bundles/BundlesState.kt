package dev.pocketvl.presentation.bundles

import dev.pocketvl.presentation.platform.InstalledBundle
import dev.pocketvl.presentation.platform.Transfer

/** What the bundle screen is busy with, one thing at a time. */
sealed interface Work {
    data class Copying(val transfer: Transfer) : Work

    data class Downloading(val transfer: Transfer) : Work

    /** [done] of [total] bytes are hashed. */
    data class Checking(val bundle: InstalledBundle, val done: Long, val total: Long) : Work

    data class Deleting(val bundle: InstalledBundle) : Work
}

/** All that the bundle screen shows. */
data class BundlesState(
    val bundles: List<InstalledBundle> = emptyList(),
    /** The one that is loaded or being loaded. */
    val chosen: InstalledBundle? = null,
    /** Paths of those whose hashes were all found equal since the app began. */
    val sound: Set<String> = emptySet(),
    val freeBytes: Long? = null,
    /** For `adb push`. */
    val pushFolder: String? = null,
    val canDownload: Boolean = false,
    val work: Work? = null,
    val message: String? = null,
)
