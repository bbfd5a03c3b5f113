package dev.pocketvl.media

/**
 * How stored pixels must be turned to stand upright: [value] is EXIF's, 1 to 8 (CIPA DC-008, tag 0x0112).
 *
 * Each is named after what makes the stored image upright.
 */
enum class Orientation(val value: Int) {
    UPRIGHT(1),
    FLIP_LEFT_RIGHT(2),
    ROTATE_180(3),
    FLIP_TOP_BOTTOM(4),

    /** Rows become columns. */
    TRANSPOSE(5),
    ROTATE_CLOCKWISE(6),

    /** Rows become columns, in reverse order both. */
    TRANSVERSE(7),
    ROTATE_COUNTERCLOCKWISE(8),
    ;

    /** Whether height and width change places. */
    val swapsSides: Boolean get() = value >= 5

    /** The upright size of what is stored in [size], and the other way round. */
    fun turned(size: PixelSize): PixelSize = if (swapsSides) PixelSize(size.width, size.height) else size

    /** The pixels of [stored], upright; [stored] itself where it is. */
    fun upright(stored: RgbImage): RgbImage {
        if (this == UPRIGHT) return stored
        val size = turned(stored.size())
        val pixels = ByteArray(stored.pixels.size)
        for (y in 0 until size.height) copyRow(stored, y, pixels, 3 * y * size.width)
        return RgbImage(size.width, size.height, pixels)
    }

    /** Copies row [y] of the upright image out of [stored] to [into] from [at] on. */
    internal fun copyRow(stored: RgbImage, y: Int, into: ByteArray, at: Int) {
        val from = stored.pixels
        val step = 3 * step(stored.width)
        var source = 3 * start(stored.size(), y)
        if (step == 3) {
            from.copyInto(into, at, source, source + 3 * turned(stored.size()).width)
            return
        }
        var target = at
        repeat(turned(stored.size()).width) {
            into[target] = from[source]
            into[target + 1] = from[source + 1]
            into[target + 2] = from[source + 2]
            source += step
            target += 3
        }
    }

    /** The stored pixel, counted by rows, at which row [y] of the upright image begins. */
    internal fun start(stored: PixelSize, y: Int): Int {
        val (height, width) = stored
        return when (this) {
            UPRIGHT -> y * width
            FLIP_LEFT_RIGHT -> (y + 1) * width - 1
            ROTATE_180 -> (height - y) * width - 1
            FLIP_TOP_BOTTOM -> (height - 1 - y) * width
            TRANSPOSE -> y
            ROTATE_CLOCKWISE -> (height - 1) * width + y
            TRANSVERSE -> height * width - 1 - y
            ROTATE_COUNTERCLOCKWISE -> width - 1 - y
        }
    }

    /** Stored pixels from one pixel of an upright row to the next. */
    internal fun step(width: Int): Int =
        when (this) {
            UPRIGHT, FLIP_TOP_BOTTOM -> 1
            FLIP_LEFT_RIGHT, ROTATE_180 -> -1
            TRANSPOSE, ROTATE_COUNTERCLOCKWISE -> width
            ROTATE_CLOCKWISE, TRANSVERSE -> -width
        }

    companion object {
        /** Of EXIF's number; what is none is [UPRIGHT], for the pixels may be sound all the same. */
        fun of(value: Int): Orientation = entries.firstOrNull { it.value == value } ?: UPRIGHT
    }
}
