package dev.pocketvl.presentation.camera

import dev.pocketvl.media.RgbImage
import java.nio.ByteBuffer
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class YuvFrameTest {
    @Test
    fun `grey stays grey, black and white reach the ends`() {
        for (level in intArrayOf(0, 1, 127, 128, 254, 255)) {
            val frame = frame(4, 2, { _, _ -> level }, { _, _ -> 128 }, { _, _ -> 128 })
            assertContentEquals(ByteArray(24) { level.toByte() }, frame.toRgb(0).pixels)
        }
    }

    @Test
    fun `colours are within one level of the formula, whatever the strides`() {
        val random = Random(1)
        val luma = Array(6) { IntArray(8) { random.nextInt(256) } }
        val blue = Array(3) { IntArray(4) { random.nextInt(256) } }
        val red = Array(3) { IntArray(4) { random.nextInt(256) } }
        for ((padding, pixelStride) in listOf(0 to 1, 5 to 1, 0 to 2, 3 to 2)) {
            val frame =
                frame(8, 6, { x, y -> luma[y][x] }, { x, y -> blue[y][x] }, { x, y -> red[y][x] }, padding, pixelStride)
            val image = frame.toRgb(0)
            for (y in 0 until 6) {
                for (x in 0 until 8) {
                    val (l, b, r) = Triple(luma[y][x], blue[y / 2][x / 2] - 128, red[y / 2][x / 2] - 128)
                    val wanted = listOf(l + 1.402 * r, l - 0.344136 * b - 0.714136 * r, l + 1.772 * b)
                    for ((channel, value) in wanted.withIndex()) {
                        val got = image.pixels[3 * (y * 8 + x) + channel].toInt() and 255
                        assertEquals(value.coerceIn(0.0, 255.0), got.toDouble(), 0.51, "$x,$y,$channel")
                    }
                }
            }
        }
    }

    @Test
    fun `a frame is turned clockwise`() {
        val frame = frame(4, 2, { x, y -> 10 * y + x }, { _, _ -> 128 }, { _, _ -> 128 })
        assertEquals(listOf(listOf(0, 1, 2, 3), listOf(10, 11, 12, 13)), rows(frame.toRgb(0)))
        assertEquals(listOf(listOf(10, 0), listOf(11, 1), listOf(12, 2), listOf(13, 3)), rows(frame.toRgb(90)))
        assertEquals(listOf(listOf(13, 12, 11, 10), listOf(3, 2, 1, 0)), rows(frame.toRgb(180)))
        assertEquals(listOf(listOf(3, 13), listOf(2, 12), listOf(1, 11), listOf(0, 10)), rows(frame.toRgb(270)))
        assertFailsWith<IllegalArgumentException> { frame.toRgb(45) }
    }

    @Test
    fun `an odd size is refused`() {
        val plane = YuvPlane(ByteBuffer.allocate(64), 8, 1)
        assertFailsWith<IllegalArgumentException> { YuvFrame(3, 2, plane, plane, plane) }
    }

    private fun rows(image: RgbImage): List<List<Int>> =
        (0 until image.height).map { y ->
            (0 until image.width).map { x -> image.pixels[3 * (y * image.width + x)].toInt() }
        }

    private fun frame(
        width: Int,
        height: Int,
        y: (Int, Int) -> Int,
        u: (Int, Int) -> Int,
        v: (Int, Int) -> Int,
        padding: Int = 0,
        pixelStride: Int = 1,
    ) = YuvFrame(
        width,
        height,
        plane(width, height, padding, 1, y),
        plane(width / 2, height / 2, padding, pixelStride, u),
        plane(width / 2, height / 2, padding, pixelStride, v),
    )

    /** Ends with the last sample, as a camera's plane may. */
    private fun plane(width: Int, height: Int, padding: Int, pixelStride: Int, sample: (Int, Int) -> Int): YuvPlane {
        val rowStride = width * pixelStride + padding
        val bytes = ByteArray((height - 1) * rowStride + (width - 1) * pixelStride + 1) { 77 }
        for (y in 0 until height) {
            for (x in 0 until width) bytes[y * rowStride + x * pixelStride] = sample(x, y).toByte()
        }
        val direct = ByteBuffer.allocateDirect(bytes.size)
        direct.put(bytes)
        direct.flip()
        return YuvPlane(direct, rowStride, pixelStride)
    }
}
