package dev.pocketvl.media

import dev.pocketvl.Golden
import dev.pocketvl.PocketVLException
import dev.pocketvl.PromptException
import dev.pocketvl.UsageException
import dev.pocketvl.int
import dev.pocketvl.listOf
import dev.pocketvl.members
import dev.pocketvl.visionGeometry
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class ImageSizeTest {
    @Test
    fun `sizes that a message wants are the golden ones`() {
        val data = Golden.read("image_size")
        val settings = imageSettings(data["min_pixels"].int(), data["max_pixels"].int())
        val buckets = data["buckets"].listOf<Any?>().map { it.int() }
        for (case in data["cases"].listOf<Map<String, Any?>>()) {
            val given = pixelSize(case["size"])
            val wanted = wanted(case["wanted"].members())
            val find = { imageSize(given.height, given.width, wanted, visionGeometry(), settings, buckets) }
            val expected = case["expected"]
            if (expected == null) {
                assertFailsWith<PocketVLException>(case.toString()) { find() }
            } else {
                assertEquals(pixelSize(expected), find(), case.toString())
            }
        }
    }

    @Test
    fun `limits of a part that contradict the session's are refused`() {
        val error = assertFailsWith<PromptException> { imageLimits(ImageSize(minPixels = 500), imageSettings(1, 400)) }
        assertEquals(
            "An image's min_pixels 500 lies above its max_pixels 400 (what a part does not give is the session's);" +
                " give both.",
            error.message,
        )
        assertFailsWith<PromptException> { ImageSize(maxPixels = 0) }
    }

    @Test
    fun `a session's limits take the place of the bundle's, and are refused where they cross`() {
        val bundle = imageSettings(100, 400)
        assertEquals(imageSettings(200, 400), sessionLimits(bundle, 200, null))
        assertEquals(imageSettings(100, 300), sessionLimits(bundle, null, 300))
        val error = assertFailsWith<UsageException> { sessionLimits(bundle, 500, null) }
        assertEquals(
            "These pixel limits cannot be used: min_pixels 500 must lie in 1..max_pixels 400.",
            error.message,
        )
        assertFailsWith<UsageException> { sessionLimits(bundle, 0, null) }
    }

    private fun wanted(keys: Map<String, Any?>) =
        ImageSize(
            minPixels = keys["min_pixels"]?.int(),
            maxPixels = keys["max_pixels"]?.int(),
            resizedHeight = keys["resized_height"]?.int(),
            resizedWidth = keys["resized_width"]?.int(),
            detail = keys["detail"]?.let { Detail.valueOf(it.toString().uppercase()) } ?: Detail.AUTO,
        )
}
