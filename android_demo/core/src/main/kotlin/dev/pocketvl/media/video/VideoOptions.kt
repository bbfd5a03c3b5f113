package dev.pocketvl.media.video

import dev.pocketvl.PromptException

/** Pixels, frames, seconds: far above what any video has. */
private const val MOST = Int.MAX_VALUE

/**
 * What a message says about one video: which of its frames, and how large. The keys of Qwen's video parts; null is
 * the rule's own choice, see Sampling.kt.
 */
data class VideoOptions(
    /** Frames taken per second. */
    val fps: Double? = null,
    /** How many frames in all, instead. */
    val nframes: Int? = null,
    /** A bound where fps decides, as the next. */
    val minFrames: Int? = null,
    val maxFrames: Int? = null,
    /** Of one frame, as the next. */
    val minPixels: Int? = null,
    val maxPixels: Int? = null,
    /** Of all temporal slices together. */
    val totalPixels: Int? = null,
    /** Instead of the video's own sides, as the next. */
    val resizedHeight: Int? = null,
    val resizedWidth: Int? = null,
    /** Seconds, as the next. */
    val videoStart: Double? = null,
    val videoEnd: Double? = null,
) {
    companion object {
        @JvmField val AS_THE_RULE = VideoOptions()
    }
}

/**
 * The options among the keys of a video part, as in Qwen's and saved messages; null is as good as not given, other
 * keys are not looked at.
 *
 * Throws [PromptException] for values that are none, and for pairs that contradict each other.
 */
fun parseVideoOptions(part: Map<String, Any?>, where: String = "video"): VideoOptions {
    fun whole(key: String): Int? =
        part[key]?.let { value ->
            val number = value as? Long ?: (value as? Int)?.toLong()
            if (number == null || number !in least(key)..MOST.toLong()) throw notWhole(where, key, shown(value))
            number.toInt()
        }

    fun real(key: String): Double? =
        part[key]?.let { value ->
            (value as? Number)?.toDouble() ?: throw notReal(where, key, shown(value))
        }
    val options =
        VideoOptions(
            fps = real("fps"),
            nframes = whole("nframes"),
            minFrames = whole("min_frames"),
            maxFrames = whole("max_frames"),
            minPixels = whole("min_pixels"),
            maxPixels = whole("max_pixels"),
            totalPixels = whole("total_pixels"),
            resizedHeight = whole("resized_height"),
            resizedWidth = whole("resized_width"),
            videoStart = real("video_start"),
            videoEnd = real("video_end"),
        )
    return options.checked(where)
}

/** These options, of which each can be meant and no two contradict each other. Throws [PromptException]. */
internal fun VideoOptions.checked(where: String = "video"): VideoOptions {
    val wholes =
        listOf(
            "nframes" to nframes,
            "min_frames" to minFrames,
            "max_frames" to maxFrames,
            "min_pixels" to minPixels,
            "max_pixels" to maxPixels,
            "total_pixels" to totalPixels,
            "resized_height" to resizedHeight,
            "resized_width" to resizedWidth,
        )
    for ((key, value) in wholes) {
        if (value != null && value < least(key)) throw notWhole(where, key, value.toString())
    }
    // Not `value < least`: NaN is none.
    if (fps != null && !(fps >= 1e-9 && fps <= MOST)) throw notReal(where, "fps", fps.toString())
    for ((key, value) in listOf("video_start" to videoStart, "video_end" to videoEnd)) {
        if (value != null && !(value >= 0 && value <= MOST)) throw notReal(where, key, value.toString())
    }
    checkPairs(where)
    return this
}

private fun VideoOptions.checkPairs(where: String) {
    if (fps != null && nframes != null) throw PromptException("$where gives both fps and nframes; leave one out.")
    if (nframes != null && (minFrames != null || maxFrames != null)) {
        throw PromptException(
            "$where gives nframes, so that min_frames and max_frames mean nothing; leave them out.",
        )
    }
    if ((resizedHeight == null) != (resizedWidth == null)) {
        throw PromptException("$where gives only one of resized_height and resized_width; give both.")
    }
    checkOrder(where, "min_frames" to minFrames, "max_frames" to maxFrames)
    checkOrder(where, "min_pixels" to minPixels, "max_pixels" to maxPixels)
    checkOrder(where, "video_start" to videoStart, "video_end" to videoEnd)
}

private fun <T : Comparable<T>> checkOrder(where: String, low: Pair<String, T?>, high: Pair<String, T?>) {
    val (least, most) = Pair(low.second ?: return, high.second ?: return)
    if (least > most) {
        throw PromptException("$where.${low.first} $least lies above its ${high.first} $most; swap them.")
    }
}

private fun least(key: String): Int = if (key.endsWith("frames")) 2 else 1

private fun notWhole(where: String, key: String, shown: String) =
    PromptException("$where.$key must be a whole number from ${least(key)} to $MOST, not $shown.")

private fun notReal(where: String, key: String, shown: String): PromptException {
    val unit = if (key == "fps") "frames a second, above 0" else "seconds, 0 or more"
    return PromptException("$where.$key must be a number of $unit, not $shown.")
}

private const val LONGEST_SHOWN = 60

private fun shown(value: Any): String = (if (value is String) "'$value'" else value.toString()).take(LONGEST_SHOWN)
