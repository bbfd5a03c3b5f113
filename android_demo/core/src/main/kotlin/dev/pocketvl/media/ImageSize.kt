package dev.pocketvl.media

import dev.pocketvl.ImageException
import dev.pocketvl.PromptException
import dev.pocketvl.UsageException
import dev.pocketvl.bundle.ImageSettings
import dev.pocketvl.bundle.VisionGeometry

/** How closely an image is looked at, by OpenAI's word for it. */
enum class Detail { AUTO, LOW, HIGH }

/**
 * The keys of Qwen's and OpenAI's image parts; what is null is as for every image of the session.
 *
 * [resizedHeight] and [resizedWidth] stand for the image's own height and width. [Detail.LOW] is at most the
 * smallest bucket; the others change nothing. Throws [PromptException] for a number below 1.
 */
data class ImageSize(
    val minPixels: Int? = null,
    val maxPixels: Int? = null,
    val resizedHeight: Int? = null,
    val resizedWidth: Int? = null,
    val detail: Detail = Detail.AUTO,
) {
    init {
        val given =
            listOf(
                "min_pixels" to minPixels,
                "max_pixels" to maxPixels,
                "resized_height" to resizedHeight,
                "resized_width" to resizedWidth,
            )
        for ((key, value) in given) {
            if (value != null && value < 1) throw PromptException("An image's $key must be at least 1, not $value.")
        }
    }

    companion object {
        @JvmField val AS_THE_SESSION = ImageSize()
    }
}

/**
 * The size in which an image of [height] and [width] pixels is encoded: multiples of vision.factor.
 *
 * The rule of qwen-vl-utils' smart_resize, but never above the largest bucket, whatever is wanted. Throws
 * [PromptException] for limits that contradict each other, [ImageException] beyond 1:200.
 */
fun imageSize(
    height: Int,
    width: Int,
    wanted: ImageSize,
    vision: VisionGeometry,
    settings: ImageSettings,
    buckets: List<Int>,
): PixelSize {
    val limits = imageLimits(wanted, settings)
    val allowed = if (wanted.detail == Detail.LOW) listOf(buckets.min()) else buckets
    return resizeToBucket(
        wanted.resizedHeight ?: height,
        wanted.resizedWidth ?: width,
        vision,
        limits,
        allowed,
    )
}

/** The settings with the pixel limits of one image. Throws [PromptException]. */
fun imageLimits(wanted: ImageSize, settings: ImageSettings): ImageSettings {
    val least = wanted.minPixels ?: settings.minPixels
    val most = wanted.maxPixels ?: settings.maxPixels
    if (least > most) {
        throw PromptException(
            "An image's min_pixels $least lies above its max_pixels $most (what a part does not give is the" +
                " session's); give both.",
        )
    }
    return settings.copy(minPixels = least, maxPixels = most)
}

/** The bundle's settings with the limits of a session. Throws [UsageException]. */
fun sessionLimits(image: ImageSettings, minPixels: Int?, maxPixels: Int?): ImageSettings {
    val least = minPixels ?: image.minPixels
    val most = maxPixels ?: image.maxPixels
    if (least < 1 || least > most) {
        throw UsageException(
            "These pixel limits cannot be used: min_pixels $least must lie in 1..max_pixels $most.",
        )
    }
    return image.copy(minPixels = least, maxPixels = most)
}
