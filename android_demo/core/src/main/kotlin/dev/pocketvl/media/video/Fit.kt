// What would make a video fit where it does not: settings that are computed, not guessed.
package dev.pocketvl.media.video

import dev.pocketvl.ImageException
import dev.pocketvl.PromptException
import kotlin.math.min

/** Of a slice: below, there is nothing to see. */
private const val LEAST_TOKENS = 4

/**
 * Settings each of which alone brings the video, which [plan] says is too long, to at most [room] tokens.
 *
 * [planWith]: the plan of the same video with other options. [factor]: pixels along one side of a token. Such as
 * ["nframes 40 (fps 0.033)", "max_pixels 12544"]; empty where nothing helps.
 */
internal fun settingsThatFit(
    info: VideoInfo,
    wanted: VideoOptions,
    plan: VideoPlan,
    planWith: (VideoOptions) -> VideoPlan,
    factor: Int,
    room: Int,
): List<String> {
    val fits = { options: VideoOptions ->
        try {
            tokensOf(planWith(options), factor) <= room
        } catch (_: ImageException) {
            false
        } catch (_: PromptException) {
            false
        }
    }
    val found = ArrayList<String>()
    val fewer = listOfNotNull(fewerFrames(wanted, plan, fits), fewerFrames(noLarger(wanted, plan), plan, fits))
    fewer.maxByOrNull { it.nframes ?: 0 }?.let { best ->
        val pinned = if (best.maxPixels == wanted.maxPixels) "" else " with max_pixels ${best.maxPixels}"
        found += "nframes ${best.nframes}${asFps(info, best, fits)}$pinned"
    }
    for (most in room / plan.grid.t downTo LEAST_TOKENS) {
        val pixels = most.toLong() * factor * factor
        if (pixels > Int.MAX_VALUE) continue
        val low = wanted.minPixels?.takeIf { it <= pixels }
        if (fits(wanted.copy(minPixels = low, maxPixels = pixels.toInt()))) {
            found += "max_pixels $pixels${if (low == wanted.minPixels) "" else " without its min_pixels"}"
            break
        }
    }
    return found
}

/** Placeholder tokens of all slices. */
internal fun tokensOf(plan: VideoPlan, factor: Int): Long = plan.grid.t * plan.size.pixels / (factor.toLong() * factor)

/** With the frames of the plan: fewer of them would each get more pixels. */
private fun noLarger(wanted: VideoOptions, plan: VideoPlan): VideoOptions {
    val area = plan.size.pixels.toInt()
    return wanted.copy(
        minPixels = wanted.minPixels?.takeIf { it <= area },
        maxPixels = min(area, wanted.maxPixels ?: area),
    )
}

/** With the most frames that fit. */
private fun fewerFrames(wanted: VideoOptions, plan: VideoPlan, fits: (VideoOptions) -> Boolean): VideoOptions? {
    val depth = plan.indices.size / plan.grid.t
    for (count in plan.indices.size - depth downTo 1 step depth) {
        val options = wanted.copy(fps = null, minFrames = null, maxFrames = null, nframes = count)
        if (fits(options)) return options
    }
    return null
}

/** As frames per second, of a video that has times: " (fps 0.5)". */
private fun asFps(info: VideoInfo, options: VideoOptions, fits: (VideoOptions) -> Boolean): String {
    val end = min(options.videoEnd ?: info.seconds, info.seconds)
    val seconds = end - (options.videoStart ?: 0.0)
    val nframes = options.nframes
    if (info.times == null || seconds <= 0 || nframes == null) return ""
    var fps = toDigits(nframes / seconds, 2)
    repeat(2) {
        // Rounded up, it may take one slice too many.
        if (fits(options.copy(nframes = null, fps = fps))) return " (fps ${asGeneral(fps)})"
        fps = toDigits(fps * 0.95, 2)
    }
    return ""
}
