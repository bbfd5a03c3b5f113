package dev.pocketvl

import dev.pocketvl.bundle.Bundle
import dev.pocketvl.bundle.Verify
import java.io.File

/** Makes the engine of a bundle; `Engines.forTarget` of the module engines is one. */
fun interface EngineFactory {
    /** [threads]: of the runtime's pool; null is the engine's own choice. Throws [PocketVLException]. */
    fun open(bundle: Bundle, threads: Int?): Engine
}

/** Gets told how far the check of a bundle's files is. */
fun interface LoadProgress {
    fun onProgress(bytesHashed: Long, bytes: Long)
}

/** How a bundle is opened. */
data class LoadOptions
    @JvmOverloads
    constructor(
        /** When hashes of the bundle's files are computed: each takes a second or so per gigabyte. */
        val verify: Verify = Verify.STAMP,
        /** The file in which is remembered what was found equal, for [Verify.STAMP]; in the app's own folder. */
        val stamps: File? = null,
        /** Of the engine's pool; null is its own choice. */
        val threads: Int? = null,
        /** Called in the thread that loads. */
        val onProgress: LoadProgress? = null,
    ) {
        init {
            if (threads != null && threads < 1) throw UsageException("threads must be at least 1, not $threads.")
        }

        fun withVerify(verify: Verify): LoadOptions = copy(verify = verify)

        fun withStamps(stamps: File?): LoadOptions = copy(stamps = stamps)

        fun withThreads(threads: Int?): LoadOptions = copy(threads = threads)

        fun withProgress(onProgress: LoadProgress?): LoadOptions = copy(onProgress = onProgress)
    }
