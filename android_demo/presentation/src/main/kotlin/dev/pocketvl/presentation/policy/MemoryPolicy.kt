package dev.pocketvl.presentation.policy

import dev.pocketvl.Names
import dev.pocketvl.bundle.Manifest
import dev.pocketvl.presentation.platform.Memory

/** What answering takes, in bytes, known before anything is loaded. */
data class MemoryNeed(val weights: Long, val vision: Long, val cache: Long, val working: Long) {
    val total: Long get() = weights + vision + cache + working
}

/** Whether a bundle goes into the phone's memory. */
enum class MemoryVerdict {
    FITS,

    /** More than is free now: the system ends other apps, or this one. */
    TIGHT,

    /** More than the phone has at all. */
    TOO_LARGE,
}

/** What is given back, each step with those before it; what was given back is loaded again when needed. */
enum class Release {
    NOTHING,

    /** The vision encoder. */
    VISION,

    /** And the embeddings of images that were seen before. */
    CACHE,

    /** And the decoder with its keys and values: the next question feeds the conversation again. */
    WEIGHTS,
}

/** When memory is given back, and when the user is warned before it is taken. */
object MemoryPolicy {
    private const val FLOAT_BYTES = 4L

    /** The runtime's own code and buffers, logits and the app: 150 MB. */
    private const val WORKING_BYTES = 150_000_000L

    /**
     * An upper bound: the vision encoder and the decoder are both loaded from the second image on.
     *
     * Weights are the bundle's files that are not the vision encoder's; the cache holds keys and values of float32
     * for the whole context; the largest image has, per patch, its pixels, eight rows of the encoder's width and two
     * of its hidden layer alive at one time.
     */
    fun need(manifest: Manifest): MemoryNeed {
        val (visionFiles, others) = manifest.files.partition { Names.VISION_ENCODER in it.path }
        val text = manifest.geometry.text
        val vision = manifest.geometry.vision
        val tokenBytes = 2L * text.numLayers * text.numKvHeads * text.headDim * FLOAT_BYTES
        val patchBytes = (vision.patchDim + 8L * vision.hiddenSize + 2L * vision.intermediateSize) * FLOAT_BYTES
        return MemoryNeed(
            weights = others.sumOf { it.size },
            vision = visionFiles.sumOf { it.size } + manifest.buckets.last() * patchBytes,
            cache = manifest.maxContext * tokenBytes,
            working = WORKING_BYTES,
        )
    }

    fun verdict(need: MemoryNeed, memory: Memory): MemoryVerdict =
        when {
            need.total > memory.total -> MemoryVerdict.TOO_LARGE
            need.total > memory.available || memory.isLow -> MemoryVerdict.TIGHT
            else -> MemoryVerdict.FITS
        }

    /**
     * By the level of ComponentCallbacks2.onTrimMemory. Levels that Android may add between the known ones count as
     * the lower of their neighbours. From Android 14 on, only UI_HIDDEN and BACKGROUND are sent, so that BACKGROUND
     * has to be the last word: a process with the weights loaded is the first that the system would end.
     */
    fun onTrimMemory(level: Int): Release =
        when {
            level >= BACKGROUND -> Release.WEIGHTS
            level >= UI_HIDDEN -> Release.VISION
            level >= RUNNING_CRITICAL -> Release.WEIGHTS
            level >= RUNNING_LOW -> Release.CACHE
            level >= RUNNING_MODERATE -> Release.VISION
            else -> Release.NOTHING
        }

    private const val RUNNING_MODERATE = 5
    private const val RUNNING_LOW = 10
    private const val RUNNING_CRITICAL = 15
    private const val UI_HIDDEN = 20
    private const val BACKGROUND = 40
}
