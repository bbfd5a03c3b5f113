package dev.pocketvl.media

import dev.pocketvl.ImageException
import dev.pocketvl.bundle.ImageSettings
import dev.pocketvl.bundle.VisionGeometry
import kotlin.math.ceil
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min
import kotlin.math.sqrt

private const val MAX_ASPECT_RATIO = 200

/**
 * The size as multiples of [factor], near the aspect ratio, of about [minPixels] to [maxPixels].
 *
 * The rule of qwen-vl-utils, the model's own utility. Very long images may end above [maxPixels], because no side
 * goes below [factor]; [resizeToBucket] bounds those. Throws [ImageException] beyond 1:200.
 */
fun smartResize(height: Int, width: Int, factor: Int, minPixels: Int, maxPixels: Int): PixelSize {
    if (min(height, width) < 1) {
        throw ImageException("An image of ${width}x$height pixels has nothing in it; give another one.")
    }
    if (max(height, width) > MAX_ASPECT_RATIO.toLong() * min(height, width)) {
        throw ImageException(
            "An image of ${width}x$height pixels is longer than $MAX_ASPECT_RATIO times its other side, which the" +
                " model cannot take; crop it or cut it into pieces.",
        )
    }
    val newHeight = nearest(height, factor)
    val newWidth = nearest(width, factor)
    // As doubles: sides near the largest Int have a product beyond Long.
    val pixels = newHeight.toDouble() * newWidth
    if (pixels > maxPixels) return shrink(height, width, factor, maxPixels)
    if (pixels < minPixels) {
        val scale = sqrt(minPixels / (height.toLong() * width).toDouble())
        return PixelSize(
            ceil(height * scale / factor).toInt() * factor,
            ceil(width * scale / factor).toInt() * factor,
        )
    }
    return PixelSize(newHeight.toInt(), newWidth.toInt())
}

/**
 * [smartResize] under both the settings' limits and the largest bucket; the result always fits.
 *
 * Throws [ImageException] beyond 1:200.
 */
fun resizeToBucket(
    height: Int,
    width: Int,
    vision: VisionGeometry,
    settings: ImageSettings,
    buckets: List<Int>,
): PixelSize {
    // Pixels of the largest bucket.
    val room = Math.multiplyExact(buckets.max(), vision.patchSize * vision.patchSize)
    val maxPixels = min(settings.maxPixels, room)
    var size = smartResize(height, width, vision.factor, min(settings.minPixels, maxPixels), maxPixels)
    if (size.pixels <= room) return size
    // Rounding up to the lower limit, or a long side beside one that is a factor already, went over.
    size = shrink(height, width, vision.factor, room)
    if (size.pixels <= room) return size
    val longest = room / (vision.factor * vision.factor) * vision.factor
    return PixelSize(min(size.height, longest), min(size.width, longest))
}

/** The multiple of [factor] next to a side, at least one: halves go to the even number, 70 / 28 = 2.5 becomes 2. */
private fun nearest(side: Int, factor: Int): Long =
    max(factor.toLong(), Math.rint(side.toDouble() / factor).toLong() * factor)

private fun shrink(height: Int, width: Int, factor: Int, maxPixels: Int): PixelSize {
    val scale = sqrt((height.toLong() * width).toDouble() / maxPixels)
    return PixelSize(
        max(factor, floor(height / scale / factor).toInt() * factor),
        max(factor, floor(width / scale / factor).toInt() * factor),
    )
}
