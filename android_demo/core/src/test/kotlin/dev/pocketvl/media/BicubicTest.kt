package dev.pocketvl.media

import dev.pocketvl.Golden
import dev.pocketvl.int
import dev.pocketvl.listOf
import java.util.Base64
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotSame

class BicubicTest {
    @Test
    fun `every pixel is Pillow's`() {
        for (case in Golden.read("bicubic")["cases"].listOf<Map<String, Any?>>()) {
            val image = painted(case["width"].int(), case["height"].int())
            val resized = resizeImage(image, PixelSize(case["new_height"].int(), case["new_width"].int()))
            assertContentEquals(Base64.getDecoder().decode(case["rgb_base64"].toString()), resized.pixels)
        }
    }

    @Test
    fun `an image of the wanted size is copied`() {
        val image = painted(20, 12)
        val resized = resizeImage(image, image.size())
        assertNotSame(image.pixels, resized.pixels)
        assertContentEquals(image.pixels, resized.pixels)
    }

    @Test
    fun `turning while resizing gives what turning before gives`() {
        val image = painted(40, 24)
        for (orientation in Orientation.entries) {
            for (size in listOf(PixelSize(28, 56), PixelSize(24, 40), PixelSize(56, 24), PixelSize(7, 90))) {
                val expected = resizeImage(orientation.upright(image), size)
                assertContentEquals(expected.pixels, resizeImage(image, size, orientation).pixels)
            }
        }
    }

    @Test
    fun `one level stays that level at every size`() {
        for (side in listOf(1, 3, 28, 100)) {
            val resized = resizeImage(plain(33, 57, 201), PixelSize(side, 2 * side))
            assertEquals(setOf(201.toByte()), resized.pixels.toSet())
        }
    }

    @Test
    fun `too few and too many rows are refused`() {
        val resizer = BicubicResizer(PixelSize(2, 4), PixelSize(5, 5))
        resizer.addRow(ByteArray(12))
        assertFailsWith<IllegalStateException> { resizer.result() }
        resizer.addRow(ByteArray(12))
        assertFailsWith<IllegalStateException> { resizer.addRow(ByteArray(12)) }
        assertEquals(75, resizer.result().pixels.size)
    }
}
