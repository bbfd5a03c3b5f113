package dev.pocketvl.media

import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.max
import kotlin.math.min

/** Bits after the point of a weight: 8 of a level and 2 of overshoot leave 22 of 32. */
private const val PRECISION = 22
private const val HALF = 1 shl (PRECISION - 1)

/** Pixels to each side that the kernel reaches at full size. */
private const val REACH = 2.0

/** Parameter of Keys' cubic convolution kernel. */
private const val KEYS = -0.5

/**
 * [image] in [size], bicubic with antialiasing, always a new image: Pillow's pixels.
 *
 * [orientation] turns it first, without a copy of the whole.
 */
fun resizeImage(image: RgbImage, size: PixelSize, orientation: Orientation = Orientation.UPRIGHT): RgbImage {
    val from = orientation.turned(image.size())
    val resizer = BicubicResizer(from, size)
    if (orientation == Orientation.UPRIGHT) {
        for (y in 0 until from.height) resizer.addRow(image.pixels, 3 * y * from.width)
    } else {
        val row = ByteArray(3 * from.width)
        for (y in 0 until from.height) {
            orientation.copyRow(image, y, row, 0)
            resizer.addRow(row)
        }
    }
    return resizer.result()
}

/**
 * Resizes an image that is given row by row, from the top: bicubic, antialiased by a kernel that grows with the
 * reduction, in two passes with levels of 8 bits in between.
 *
 * Weights are whole numbers of 22 bits after the point, and the passes have the order that they have in Pillow 13,
 * whose pixels this gives. Held are only the rows that the next result's row is made of.
 */
class BicubicResizer(private val from: PixelSize, private val to: PixelSize) {
    private val across = if (from.width == to.width) null else weights(from.width, to.width)
    private val down = if (from.height == to.height) null else weights(from.height, to.height)

    /** Along the height first where that takes away more than twice as many rows as the other columns. */
    private val downFirst =
        across != null && to.height < from.height && from.height - to.height > 2L * (from.width - to.width)
    private val rowBytes = Math.multiplyExact(3, to.width)
    private val pixels = ByteArray(Math.multiplyExact(rowBytes, to.height))

    /** The latest rows, at their final width if that comes first; row y is `recent[y % recent.size]`. */
    private val recent = Array(down?.taps ?: 0) { ByteArray(if (downFirst) 3 * from.width else rowBytes) }
    private val sums = IntArray(recent.firstOrNull()?.size ?: 0)
    private val combined = ByteArray(if (downFirst) sums.size else 0)
    private var read = 0
    private var written = 0

    /** The next row: 3 * width bytes of [rgb] from [offset] on. */
    fun addRow(rgb: ByteArray, offset: Int = 0) {
        check(read < from.height) { "an image of ${from.height} rows has been given whole" }
        if (down == null) {
            resizeAcross(rgb, offset, pixels, read * rowBytes)
            read++
            return
        }
        val row = recent[read % recent.size]
        if (downFirst) rgb.copyInto(row, 0, offset, offset + row.size) else resizeAcross(rgb, offset, row, 0)
        read++
        while (written < to.height && down.end(written) <= read) writeRow(down)
    }

    /** The resized image, after all rows were given. */
    fun result(): RgbImage {
        check(read == from.height) { "only $read of ${from.height} rows were given" }
        return RgbImage(to.width, to.height, pixels)
    }

    private fun writeRow(down: Weights) {
        if (downFirst) {
            combine(down, combined, 0)
            resizeAcross(combined, 0, pixels, written * rowBytes)
        } else {
            combine(down, pixels, written * rowBytes)
        }
        written++
    }

    private fun resizeAcross(rgb: ByteArray, offset: Int, into: ByteArray, at: Int) {
        if (across == null) {
            rgb.copyInto(into, at, offset, offset + rowBytes)
            return
        }
        val values = across.values
        var target = at
        for (x in 0 until to.width) {
            var red = HALF
            var green = HALF
            var blue = HALF
            var source = offset + 3 * across.first[x]
            val begin = x * across.taps
            for (tap in begin until begin + across.count[x]) {
                val weight = values[tap]
                red += (rgb[source].toInt() and 255) * weight
                green += (rgb[source + 1].toInt() and 255) * weight
                blue += (rgb[source + 2].toInt() and 255) * weight
                source += 3
            }
            into[target] = level(red)
            into[target + 1] = level(green)
            into[target + 2] = level(blue)
            target += 3
        }
    }

    /** The latest rows, weighted, to one row of the result's height in [into] from [at] on. */
    private fun combine(down: Weights, into: ByteArray, at: Int) {
        sums.fill(HALF)
        for (tap in 0 until down.count[written]) {
            val row = recent[(down.first[written] + tap) % recent.size]
            val weight = down.values[written * down.taps + tap]
            for (index in sums.indices) sums[index] += (row[index].toInt() and 255) * weight
        }
        for (index in sums.indices) into[at + index] = level(sums[index])
    }
}

private fun level(sum: Int): Byte {
    val level = sum shr PRECISION
    return (if (level < 0) 0 else min(level, 255)).toByte()
}

/** For each of the new pixels along one side: the first old one, how many, and the weight of each. */
private class Weights(val taps: Int, size: Int) {
    val first = IntArray(size)
    val count = IntArray(size)

    /** (new size, taps). */
    val values = IntArray(Math.multiplyExact(taps, size))

    /** The old pixel after the last that new pixel [index] is made of. */
    fun end(index: Int): Int = first[index] + count[index]
}

private fun weights(from: Int, to: Int): Weights {
    val scale = from.toDouble() / to
    val stretch = max(scale, 1.0)
    val reach = REACH * stretch
    val weights = Weights(2 * ceil(reach).toInt() + 1, to)
    val exact = DoubleArray(weights.taps)
    for (index in 0 until to) {
        val center = (index + 0.5) * scale
        val first = max(0, (center - reach + 0.5).toInt())
        val count = min(from, (center + reach + 0.5).toInt()) - first
        var sum = 0.0
        for (tap in 0 until count) {
            exact[tap] = kernel((tap + first - center + 0.5) * (1.0 / stretch))
            sum += exact[tap]
        }
        weights.first[index] = first
        weights.count[index] = count
        for (tap in 0 until count) weights.values[index * weights.taps + tap] = fixed(exact[tap] / sum)
    }
    return weights
}

/** Rounded away from zero at halves. */
private fun fixed(weight: Double): Int {
    val scaled = weight * (1 shl PRECISION)
    return (if (scaled < 0) scaled - 0.5 else scaled + 0.5).toInt()
}

/** Keys 1981, "Cubic convolution interpolation for digital image processing", in Horner's form. */
private fun kernel(distance: Double): Double {
    val x = abs(distance)
    return when {
        x < 1.0 -> ((KEYS + 2.0) * x - (KEYS + 3.0)) * x * x + 1
        x < 2.0 -> (((x - 5) * x + 8) * x - 4) * KEYS
        else -> 0.0
    }
}
