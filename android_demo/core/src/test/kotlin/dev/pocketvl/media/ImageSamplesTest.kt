package dev.pocketvl.media

import java.security.MessageDigest
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class ImageSamplesTest {
    /** The digest is Pillow's: of alpha_composite of every level and alpha on white, level by level. */
    @Test
    fun `every level under every alpha is composited on white as Pillow does`() {
        val argb = IntArray(256 * 256) { (it and 255 shl 24) or (it shr 8) * 0x010101 }
        val rgb = ByteArray(3 * argb.size)
        argbToRgb(argb, rgb)
        val red = ByteArray(argb.size) { rgb[3 * it] }
        val digest = hex(MessageDigest.getInstance("SHA-256").digest(red))
        assertEquals("e2083f2d3a72f11beca41a27e2aa2a51b66577fe9cb04aa603ba3f68a9024d63", digest)
        assertContentEquals(red, ByteArray(argb.size) { rgb[3 * it + 2] })
    }

    @Test
    fun `only as many pixels as wanted are written, where they are wanted`() {
        val rgb = ByteArray(12) { 9 }
        argbToRgb(intArrayOf(0, 255 shl 24 or 0x010203, 5), rgb, count = 2, at = 3)
        assertContentEquals(byteArrayOf(9, 9, 9, -1, -1, -1, 1, 2, 3, 9, 9, 9), rgb)
    }

    @Test
    fun `the depth of samples of 16 bits is the least that holds them`() {
        val depths = mapOf(0 to 8, 255 to 8, 256 to 10, 1023 to 10, 4095 to 12, 4096 to 14, 16384 to 16, 65535 to 16)
        for ((largest, depth) in depths) assertEquals(depth, usedDepth(largest))
        assertFailsWith<IllegalArgumentException> { usedDepth(65536) }
    }

    @Test
    fun `keys are equal for equal images only`() {
        val image = painted(28, 56)
        assertEquals(contentKey(image), contentKey(painted(28, 56)))
        assertEquals(false, contentKey(image) == contentKey(RgbImage(56, 28, image.pixels)))
        assertEquals(false, contentKey(image) == contentKey(painted(28, 56, frame = 1)))
        assertFailsWith<IllegalArgumentException> { RgbImage(2, 2, ByteArray(11)) }
    }
}
