package dev.pocketvl.media

import dev.pocketvl.Golden
import dev.pocketvl.int
import dev.pocketvl.listOf
import dev.pocketvl.members
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals

class ChangeTest {
    private val golden = Golden.read("change")

    @Test
    fun `thumbnails are the golden ones`() {
        for (case in golden["thumbnails"].listOf<Map<String, Any?>>()) {
            val expected =
                case["cells"]
                    .listOf<List<Any?>>()
                    .flatten()
                    .map { it.int() }
                    .toIntArray()
            assertContentEquals(expected, thumbnail(painted(case["width"].int(), case["height"].int())).cells)
        }
    }

    @Test
    fun `what has changed is as the golden cases say`() {
        assertEquals(golden["least_change"].int(), CHANGED)
        for (case in golden["cases"].listOf<Map<String, Any?>>()) {
            val first = thumbnail(frame(case["first"].members()))
            val second = thumbnail(frame(case["second"].members()))
            assertEquals(case["difference"].int(), first.difference(second), case["name"].toString())
            assertEquals(case["changed"], first.hasChanged(second), case["name"].toString())
        }
    }

    @Test
    fun `luma of a camera's plane gives the thumbnail of grey pixels, whatever its stride`() {
        val grey = RgbImage(20, 18, ByteArray(3 * 20 * 18) { (it / 3 * 7).toByte() })
        val plane = ByteArray(32 * 18) { if (it % 32 < 20) grey.pixels[3 * (it / 32 * 20 + it % 32)] else 99 }
        assertContentEquals(thumbnail(grey).cells, thumbnail(plane, 20, 18, 32).cells)
    }

    private fun frame(what: Map<String, Any?>): RgbImage {
        what["level"]?.let { return plain(64, 64, it.int()) }
        val spot = what["spot"].listOf<Any?>().map { it.int() }
        val image = plain(64, 64, 100)
        for (y in spot[1] until spot[1] + spot[2]) {
            val from = 3 * (64 * y + spot[0])
            image.pixels.fill(spot[3].toByte(), from, from + 3 * spot[2])
        }
        return image
    }
}
