package dev.pocketvl.media

import kotlin.math.abs
import kotlin.math.max

private const val CELLS = 16

/** Levels of 0..255: above a camera's noise and its slow adjustments, below most movements. */
const val CHANGED = 10

/** Mean luma of the 16 x 16 cells of a frame, row-major, 0..255. */
class Thumbnail internal constructor(internal val cells: IntArray) {
    /** Of the cell that differs most, in levels: something small that moves is seen, noise is not. */
    fun difference(other: Thumbnail): Int {
        var most = 0
        for (index in cells.indices) most = max(most, abs(cells[index] - other.cells[index]))
        return most
    }

    /** Whether they differ by [least] levels somewhere. */
    @JvmOverloads
    fun hasChanged(other: Thumbnail, least: Int = CHANGED): Boolean = difference(other) >= least
}

/** [thumbnail] of RGB pixels. Luma is (299 R + 587 G + 114 B) / 1000, rounded down (ITU-R BT.601). */
fun thumbnail(image: RgbImage): Thumbnail {
    val pixels = image.pixels
    return thumbnail(image.size()) { x, y ->
        val at = 3 * (y * image.width + x)
        val red = pixels[at].toInt() and 255
        val green = pixels[at + 1].toInt() and 255
        val blue = pixels[at + 2].toInt() and 255
        (299 * red + 587 * green + 114 * blue) / 1000
    }
}

/**
 * [thumbnail] of luma alone, as cameras give it (the Y plane of YUV_420_888): pixel (x, y) is byte
 * `y * rowStride + x` of [luma]. Compare such thumbnails with each other only.
 */
fun thumbnail(luma: ByteArray, width: Int, height: Int, rowStride: Int = width): Thumbnail =
    thumbnail(PixelSize(height, width)) { x, y -> luma[y * rowStride + x].toInt() and 255 }

/**
 * Cell i of n pixels begins at pixel i * n / 16 and has at least one; means are rounded down: whole numbers
 * throughout, so that every language gets the same.
 */
private inline fun thumbnail(size: PixelSize, luma: (x: Int, y: Int) -> Int): Thumbnail {
    val cells = IntArray(CELLS * CELLS)
    for (row in 0 until CELLS) {
        val top = start(row, size.height)
        val bottom = max(start(row + 1, size.height), top + 1)
        for (column in 0 until CELLS) {
            val left = start(column, size.width)
            val right = max(start(column + 1, size.width), left + 1)
            var sum = 0L
            for (y in top until bottom) {
                for (x in left until right) sum += luma(x, y)
            }
            cells[CELLS * row + column] = (sum / ((bottom - top).toLong() * (right - left))).toInt()
        }
    }
    return Thumbnail(cells)
}

private fun start(cell: Int, size: Int): Int = (cell.toLong() * size / CELLS).toInt()
