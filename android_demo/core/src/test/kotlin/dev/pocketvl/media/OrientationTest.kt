package dev.pocketvl.media

import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertSame

class OrientationTest {
    /** Rows of letters, which are stored in an image whose sides differ. */
    private val upright = listOf("abc", "def")

    /** As EXIF's numbers say where the first stored row and column lie: 6 is "right, top". */
    private val stored =
        mapOf(
            1 to listOf("abc", "def"),
            2 to listOf("cba", "fed"),
            3 to listOf("fed", "cba"),
            4 to listOf("def", "abc"),
            5 to listOf("ad", "be", "cf"),
            6 to listOf("cf", "be", "ad"),
            7 to listOf("fc", "eb", "da"),
            8 to listOf("da", "eb", "fc"),
        )

    @Test
    fun `each of the eight is turned upright`() {
        for ((value, rows) in stored) {
            val found = Orientation.of(value).upright(image(rows))
            assertEquals(PixelSize(2, 3), found.size())
            assertContentEquals(image(upright).pixels, found.pixels, "orientation $value")
        }
    }

    @Test
    fun `an upright image is not copied, and a number that is none means upright`() {
        val image = image(upright)
        assertSame(image, Orientation.UPRIGHT.upright(image))
        for (value in listOf(-1, 0, 9, 65535)) assertEquals(Orientation.UPRIGHT, Orientation.of(value))
    }

    @Test
    fun `pixels that are read in bands come out as those that are turned whole`() {
        val stored = painted(700, 300)
        val argb =
            IntArray(700 * 300) {
                val at = 3 * it

                fun level(channel: Int) = stored.pixels[at + channel].toInt() and 255
                255 shl 24 or (level(0) shl 16) or (level(1) shl 8) or level(2)
            }
        for (orientation in Orientation.entries) {
            var most = 0
            val found =
                readUpright(stored.size(), orientation, PixelSize(56, 84)) { left, top, width, height, into ->
                    most = maxOf(most, width * height)
                    for (y in 0 until height) {
                        argb.copyInto(into, y * width, (top + y) * 700 + left, (top + y) * 700 + left + width)
                    }
                }
            assertEquals(true, most in 1..(1 shl 17), "a band of $most pixels")
            val expected = resizeImage(stored, PixelSize(56, 84), orientation)
            assertContentEquals(expected.pixels, found.pixels, orientation.name)
        }
    }

    private fun image(rows: List<String>): RgbImage {
        val letters = rows.joinToString("")
        val pixels = ByteArray(3 * letters.length) { (letters[it / 3].code + 50 * (it % 3)).toByte() }
        return RgbImage(rows[0].length, rows.size, pixels)
    }
}
