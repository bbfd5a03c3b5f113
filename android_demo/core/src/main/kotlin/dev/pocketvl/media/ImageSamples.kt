package dev.pocketvl.media

import kotlin.math.max
import kotlin.math.min

/** Precision that cameras, scanners and detectors deliver in samples of 16 bits. */
private val DEPTHS = intArrayOf(8, 10, 12, 14, 16)

/** ARGB pixels of one band that [readUpright] holds. */
private const val BAND = 1 shl 17

/**
 * The least usual depth, of 8 to 16 bits, that holds the sample [largest] (0..65535).
 *
 * A file of 16-bit grey seldom says how many bits its data has, and 12-bit data taken for 16 bits is nearly black:
 * level 8 of such a sample is `sample shr (depth - 8)`.
 */
fun usedDepth(largest: Int): Int {
    require(largest in 0..0xFFFF) { "$largest is no sample of 16 bits" }
    return DEPTHS.first { largest < 1 shl it }
}

/**
 * [count] pixels of [argb] (as Android's Bitmap.getPixels gives them, not premultiplied), composited on white, to RGB
 * bytes in [into] from [at] on. Equal to Pillow's alpha_composite on white.
 */
fun argbToRgb(argb: IntArray, into: ByteArray, count: Int = argb.size, at: Int = 0) {
    var target = at
    for (index in 0 until count) {
        val pixel = argb[index]
        val alpha = pixel ushr 24
        if (alpha == 255) {
            into[target] = (pixel shr 16).toByte()
            into[target + 1] = (pixel shr 8).toByte()
            into[target + 2] = pixel.toByte()
        } else {
            into[target] = onWhite(pixel shr 16 and 255, alpha)
            into[target + 1] = onWhite(pixel shr 8 and 255, alpha)
            into[target + 2] = onWhite(pixel and 255, alpha)
        }
        target += 3
    }
}

/** A level over white, rounded in fixed point of 7 bits as Pillow rounds it. */
private fun onWhite(level: Int, alpha: Int): Byte {
    val sum = (level * alpha + 255 * (255 - alpha) shl 7) + (128 shl 7)
    return ((sum shr 8) + sum shr 8 shr 7).toByte()
}

/** Fills [into] with the ARGB pixels, by rows, of the rectangle [x], [y], [width], [height] of a stored image. */
fun interface ArgbReader {
    fun read(x: Int, y: Int, width: Int, height: Int, into: IntArray)
}

/**
 * What [reader] gives of an image [stored] in that size, turned by [orientation] and resized to [size]: an
 * [ImageSource]'s read over a Bitmap, whose pixels are never held a second time.
 *
 * Peak memory beside the result: 0.5 MiB of pixels (or a line of them) and the few rows that a result's row is of.
 */
fun readUpright(stored: PixelSize, orientation: Orientation, size: PixelSize, reader: ArgbReader): RgbImage {
    val upright = orientation.turned(stored)
    val resizer = BicubicResizer(upright, size)
    val rows = max(1, min(upright.height, BAND / upright.width))
    val argb = IntArray(Math.multiplyExact(rows, upright.width))
    val line = IntArray(upright.width)
    val rgb = ByteArray(Math.multiplyExact(3, upright.width))
    for (top in 0 until upright.height step rows) {
        val band = orientation.band(stored, top, min(rows, upright.height - top))
        reader.read(band.x, band.y, band.width, band.height, argb)
        val inBand = PixelSize(band.height, band.width)
        val step = orientation.step(band.width)
        for (y in 0 until orientation.turned(inBand).height) {
            var from = orientation.start(inBand, y)
            for (x in line.indices) {
                line[x] = argb[from]
                from += step
            }
            argbToRgb(line, rgb)
            resizer.addRow(rgb)
        }
    }
    return resizer.result()
}

private class Band(val x: Int, val y: Int, val width: Int, val height: Int)

/** The stored rectangle that holds [count] upright rows from [top] on. */
private fun Orientation.band(stored: PixelSize, top: Int, count: Int): Band {
    val end = top + count
    return when (this) {
        Orientation.UPRIGHT, Orientation.FLIP_LEFT_RIGHT -> {
            Band(0, top, stored.width, count)
        }

        Orientation.ROTATE_180, Orientation.FLIP_TOP_BOTTOM -> {
            Band(0, stored.height - end, stored.width, count)
        }

        Orientation.TRANSPOSE, Orientation.ROTATE_CLOCKWISE -> {
            Band(top, 0, count, stored.height)
        }

        Orientation.TRANSVERSE, Orientation.ROTATE_COUNTERCLOCKWISE -> {
            Band(stored.width - end, 0, count, stored.height)
        }
    }
}
