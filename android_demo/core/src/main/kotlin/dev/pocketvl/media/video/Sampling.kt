/*
 * Which frames of a video are encoded, and how large: the rule of qwen-vl-utils, the model's own utility.
 *
 * Nothing here reads a video: what it takes is known before any frame is encoded. Frames are taken
 * temporalPatchSize (two) at a time, a slice each. Where the versions of qwen-vl-utils differ, this follows the
 * newer: the number of frames is rounded down to an even one, and total_pixels holds for an explicit max_pixels, too.
 */
package dev.pocketvl.media.video

import dev.pocketvl.ImageException
import dev.pocketvl.PromptException
import dev.pocketvl.VideoException
import dev.pocketvl.bundle.ImageSettings
import dev.pocketvl.bundle.VisionGeometry
import dev.pocketvl.decoding.Grid
import dev.pocketvl.media.PixelSize
import dev.pocketvl.media.gridOf
import dev.pocketvl.media.resizeToBucket
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min

private const val FPS = 2.0
private const val MIN_FRAMES = 4
internal const val MAX_FRAMES = 768

// Tokens of a frame, and of all slices together; a token is vision.factor^2 pixels.
private const val MIN_TOKENS = 128
private const val MAX_TOKENS = 768
private const val TOTAL_TOKENS = 24576

/** How far above min_pixels a frame may get whatever the total says. */
private const val ABOVE_MIN = 1.05

/** Seconds, or frames: 19.9999999 frames are 20. */
private const val TOLERANCE = 1e-6

/**
 * What is known of a video before its frames are read.
 *
 * [name]: for messages. [size]: of the upright frames. [times]: of each frame in ascending order, in seconds after
 * the first one; null for a list of frames, which has no times. [seconds]: how long the video lasts. Throws
 * [VideoException] for a video without frames, or with other times than frames.
 */
class VideoInfo(
    val name: String,
    val frames: Int,
    val size: PixelSize,
    val times: DoubleArray? = null,
    val seconds: Double = 0.0,
) {
    init {
        if (frames < 1) throw VideoException("$name holds no frames; record or copy the video again.")
        if (times != null && times.size != frames) {
            throw VideoException("$name has $frames frames and ${times.size} times; give one for each frame.")
        }
    }

    companion object {
        /** Of a video of which only the mean number of frames per second is known. */
        @JvmStatic
        fun atRate(name: String, frames: Int, size: PixelSize, framesPerSecond: Double): VideoInfo {
            if (!(framesPerSecond > 0)) throw VideoException("$name has $framesPerSecond frames a second; give more.")
            val times = DoubleArray(max(0, frames)) { it / framesPerSecond }
            return VideoInfo(name, frames, size, times, frames / framesPerSecond)
        }
    }
}

/**
 * What of a video is encoded. [indices]: frames, ascending, a multiple of temporalPatchSize of them. [size]: of each.
 * [grid]: patches along (t, h, w), t being slices.
 */
class VideoPlan(val indices: IntArray, val size: PixelSize, val grid: Grid)

/** What of a video is encoded. Throws [VideoException], [PromptException] for limits that contradict each other. */
fun planVideo(
    info: VideoInfo,
    wanted: VideoOptions,
    vision: VisionGeometry,
    settings: ImageSettings,
    buckets: List<Int>,
): VideoPlan {
    val indices = sampleFrames(info, wanted, vision.temporalPatchSize)
    val size = frameSize(info.size, indices.size, wanted, vision, settings, buckets)
    return VideoPlan(indices, size, gridOf(size, vision, indices.size / vision.temporalPatchSize))
}

/**
 * The frames to take, spread evenly from the first to the last of the range, a multiple of [factor].
 *
 * nframes frames; else those of fps (2), but at least minFrames (4) and at most maxFrames (768), and no more than
 * there are. A list of frames is taken whole up to maxFrames, its last one repeated if need be; a single frame is
 * taken [factor] times, as an image is. Throws [VideoException].
 */
fun sampleFrames(info: VideoInfo, wanted: VideoOptions, factor: Int = 2): IntArray {
    val range = frameRange(info, wanted)
    val first = range.first
    val there = range.last - first + 1
    if (info.times == null && wanted.minFrames != null) {
        throw VideoException("${info.name} is a list of frames, for which min_frames means nothing; leave it out.")
    }
    val count =
        when {
            wanted.nframes != null -> {
                wantedCount(info, wanted.nframes, there, factor)
            }

            info.times == null && there <= bound(wanted.maxFrames, factor) -> {
                val padded = (there + factor - 1) / factor * factor
                return IntArray(padded) { min(first + it, range.last) }
            }

            else -> {
                count(info, wanted, there, factor)
            }
        }
    if (there < factor) return IntArray(factor) { first }
    return spread(there, count).also { for (index in it.indices) it[index] += first }
}

/** linspace(0, there - 1, count), rounded with halves to the even number, in exact arithmetic. */
internal fun spread(there: Int, count: Int): IntArray =
    IntArray(count) { k ->
        if (count == 1) return intArrayOf(0)
        val product = k.toLong() * (there - 1)
        val whole = product / (count - 1)
        val twice = 2 * (product % (count - 1))
        val up = twice > count - 1 || (twice == count - 1L && whole % 2 == 1L)
        (if (up) whole + 1 else whole).toInt()
    }

/** First and last frame from videoStart to videoEnd, both included. Throws [VideoException]. */
internal fun frameRange(info: VideoInfo, wanted: VideoOptions): IntRange {
    val start = wanted.videoStart
    val end = wanted.videoEnd
    if (start == null && end == null) return 0 until info.frames
    val times =
        info.times ?: throw VideoException(
            "${info.name} is a list of frames without times; leave out video_start and video_end, and give only the" +
                " frames that are meant.",
        )
    val first = if (start == null) 0 else firstIndex(times) { it >= start - TOLERANCE }
    val last = if (end == null) info.frames - 1 else firstIndex(times) { it > end + TOLERANCE } - 1
    if (first > last) {
        throw VideoException(
            "${info.name} has no frame from ${asGeneral(start ?: 0.0)} s to ${asGeneral(end ?: info.seconds)} s; it" +
                " lasts ${asFixed(info.seconds, 2)} s and has ${info.frames} frames; give other times.",
        )
    }
    return first..last
}

/**
 * The size in which each of [count] frames of that [size] is encoded.
 *
 * At least 128 and at most 768 tokens a frame, and 24576 in all slices together, which gives way to the least size;
 * never above the session's maxPixels nor the largest bucket, which go before everything. With resizedHeight and
 * resizedWidth the session's limits of images hold instead. Throws [PromptException], [ImageException] beyond 1:200.
 */
fun frameSize(
    size: PixelSize,
    count: Int,
    wanted: VideoOptions,
    vision: VisionGeometry,
    settings: ImageSettings,
    buckets: List<Int>,
): PixelSize {
    val limits = limits(count, wanted, vision, settings)
    // Scaled up to the least size, and rounded up, a frame would come out above the most.
    val allowed =
        if (limits.minPixels < limits.maxPixels) {
            buckets
        } else {
            listOf(max(vision.mergeArea, min(buckets.max(), limits.maxPixels / (vision.patchSize * vision.patchSize))))
        }
    val height = wanted.resizedHeight ?: size.height
    return resizeToBucket(height, wanted.resizedWidth ?: size.width, vision, limits, allowed)
}

private fun limits(count: Int, wanted: VideoOptions, vision: VisionGeometry, settings: ImageSettings): ImageSettings {
    val token = vision.factor * vision.factor
    val sized = wanted.resizedHeight != null
    val low = wanted.minPixels ?: if (sized) settings.minPixels else MIN_TOKENS * token
    val most = wanted.maxPixels ?: if (sized) settings.maxPixels else min(settings.maxPixels, MAX_TOKENS * token)
    if (wanted.minPixels != null && low > most) {
        throw PromptException(
            "A video's min_pixels $low lies above its max_pixels $most (what a part does not give is the session's);" +
                " give both.",
        )
    }
    var high = most
    if (!sized || wanted.totalPixels != null) {
        val total = wanted.totalPixels?.toLong() ?: (TOTAL_TOKENS.toLong() * token)
        val budget = total * vision.temporalPatchSize / count
        high = min(most.toLong(), max(budget, (low * ABOVE_MIN).toLong())).toInt()
    }
    return settings.copy(minPixels = min(low, high), maxPixels = high)
}

private fun wantedCount(info: VideoInfo, nframes: Int, there: Int, factor: Int): Int {
    // Halves to the even number: 5 becomes 4.
    val count = Math.rint(nframes.toDouble() / factor).toLong() * factor
    if (count !in factor..there) {
        throw VideoException(
            "${info.name} has $there frames to take, so that nframes $nframes (rounded to a multiple of $factor:" +
                " $count) cannot be taken; give $factor to ${there / factor * factor}, or leave nframes out.",
        )
    }
    return count.toInt()
}

private fun count(info: VideoInfo, wanted: VideoOptions, there: Int, factor: Int): Int {
    val most = min(bound(wanted.maxFrames, factor), there)
    if (info.times == null) return most / factor * factor
    val seconds = info.seconds * there / info.frames
    val least = ((wanted.minFrames ?: MIN_FRAMES) + factor - 1L) / factor * factor
    val count = min(max(seconds * (wanted.fps ?: FPS), least.toDouble()), most.toDouble())
    return floor((count + TOLERANCE) / factor).toInt() * factor
}

private fun bound(maxFrames: Int?, factor: Int): Int = (maxFrames ?: MAX_FRAMES) / factor * factor

/** The first of ascending [times] for which [found] holds, as for all after it; their number where there is none. */
private inline fun firstIndex(times: DoubleArray, found: (Double) -> Boolean): Int {
    var low = 0
    var high = times.size
    while (low < high) {
        val middle = (low + high) ushr 1
        if (found(times[middle])) high = middle else low = middle + 1
    }
    return low
}
