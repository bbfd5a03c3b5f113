package dev.pocketvl.presentation.camera

import dev.pocketvl.media.Orientation
import dev.pocketvl.media.RgbImage
import java.nio.ByteBuffer

/** One of the three planes of a frame: sample (x, y) is at `y * rowStride + x * pixelStride` of [bytes]. */
class YuvPlane(val bytes: ByteBuffer, val rowStride: Int, val pixelStride: Int)

/**
 * A frame as Android's cameras deliver it (ImageFormat.YUV_420_888): a luma sample per pixel, and two colour
 * differences per square of four. [width] and [height] are even.
 */
class YuvFrame(val width: Int, val height: Int, val y: YuvPlane, val u: YuvPlane, val v: YuvPlane) {
    init {
        require(width > 0 && height > 0 && width % 2 == 0 && height % 2 == 0) {
            "a frame of $width x $height has no whole squares of four pixels"
        }
    }

    /** The frame in RGB, turned clockwise by [degrees], one of 0, 90, 180 and 270. */
    fun toRgb(degrees: Int): RgbImage {
        val turn = requireNotNull(TURNS[degrees]) { "$degrees degrees are no quarter turns" }
        val pixels = ByteArray(3 * width * height)
        val luma = ByteArray(width)
        val blue = ByteArray(width / 2)
        val red = ByteArray(width / 2)
        for (row in 0 until height) {
            copyRow(y, row, luma)
            if (row % 2 == 0) {
                copyRow(u, row / 2, blue)
                copyRow(v, row / 2, red)
            }
            convertRow(luma, blue, red, pixels, 3 * row * width)
        }
        return turn.upright(RgbImage(width, height, pixels))
    }

    /** Rows are read whole: single reads from a direct buffer cost many times as much. */
    private fun copyRow(plane: YuvPlane, row: Int, into: ByteArray) {
        val start = row * plane.rowStride
        val buffer = plane.bytes.duplicate()
        buffer.position(start)
        if (plane.pixelStride == 1) {
            buffer.get(into)
            return
        }
        // The last row may end with its last sample, without the rest of that sample's stride.
        val bytes = ByteArray((into.size - 1) * plane.pixelStride + 1)
        buffer.get(bytes)
        for (x in into.indices) into[x] = bytes[x * plane.pixelStride]
    }

    /** ITU-R BT.601 in full range, which is what YUV_420_888 of a camera is (JFIF), in fixed point of 16 bits. */
    private fun convertRow(luma: ByteArray, blue: ByteArray, red: ByteArray, into: ByteArray, at: Int) {
        var target = at
        for (x in luma.indices) {
            val level = (luma[x].toInt() and 255) shl 16
            val cb = (blue[x shr 1].toInt() and 255) - 128
            val cr = (red[x shr 1].toInt() and 255) - 128
            into[target] = level(level + RED_CR * cr)
            into[target + 1] = level(level - GREEN_CB * cb - GREEN_CR * cr)
            into[target + 2] = level(level + BLUE_CB * cb)
            target += 3
        }
    }

    private fun level(value: Int): Byte = ((value + (1 shl 15)) shr 16).coerceIn(0, 255).toByte()

    private companion object {
        val TURNS =
            mapOf(
                0 to Orientation.UPRIGHT,
                90 to Orientation.ROTATE_CLOCKWISE,
                180 to Orientation.ROTATE_180,
                270 to Orientation.ROTATE_COUNTERCLOCKWISE,
            )

        // 1.402, 0.344136, 0.714136 and 1.772, times 2^16.
        const val RED_CR = 91_881
        const val GREEN_CB = 22_553
        const val GREEN_CR = 46_802
        const val BLUE_CB = 116_130
    }
}
