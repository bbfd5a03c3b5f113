package dev.pocketvl.media

import dev.pocketvl.Golden
import dev.pocketvl.ImageException
import dev.pocketvl.int
import dev.pocketvl.listOf
import dev.pocketvl.visionGeometry
import java.security.MessageDigest
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class ResizeTest {
    private val golden = Golden.read("resize")

    @Test
    fun `sizes by the rule of the model's utility are the golden ones`() {
        val cases = golden["smart_resize"].listOf<Map<String, Any?>>()
        assertTrue(cases.size > 90)
        for (case in cases) {
            val find = {
                smartResize(
                    case["height"].int(),
                    case["width"].int(),
                    case["factor"].int(),
                    case["min_pixels"].int(),
                    case["max_pixels"].int(),
                )
            }
            val expected = case["expected"]
            if (expected == null) {
                assertFailsWith<ImageException>(case.toString()) { find() }
            } else {
                assertEquals(pixelSize(expected), find(), case.toString())
            }
        }
    }

    @Test
    fun `sizes within the largest bucket are the golden ones`() {
        for (case in golden["buckets"].listOf<Map<String, Any?>>()) {
            val settings = imageSettings(case["min_pixels"].int(), case["max_pixels"].int())
            val buckets = case["buckets"].listOf<Any?>().map { it.int() }
            val vision = visionGeometry(patchSize = case["patch_size"].int())
            val found = resizeToBucket(case["height"].int(), case["width"].int(), vision, settings, buckets)
            assertEquals(pixelSize(case["expected"]), found, case.toString())
        }
    }

    @Test
    fun `fifty thousand sizes are the golden ones`() {
        val data = Golden.read("sizes")
        val lists = listOf("sides", "lows", "highs", "buckets").map { key -> data[key].listOf<Any?>().map { it.int() } }
        val (sides, lows, highs, buckets) = lists
        val vision = visionGeometry(patchSize = data["patch_size"].int())
        var x = data["seed"].int().toLong()

        fun drawn(count: Int): Int {
            x = x * 6364136223846793005L + 1442695040888963407L
            return ((x ushr 33) % count).toInt()
        }
        val digest = MessageDigest.getInstance("SHA-256")
        val digests = ArrayList<String>()
        for (case in 0 until data["cases"].int()) {
            val height = 1 + drawn(sides[case % 4])
            val width = 1 + drawn(sides[case % 4])
            val settings = imageSettings(lows[drawn(4)], highs[drawn(4)])
            val bucket = buckets[drawn(4)]
            val answer =
                try {
                    resizeToBucket(height, width, vision, settings, listOf(bucket)).let { "${it.height} ${it.width}" }
                } catch (_: ImageException) {
                    "refused"
                }
            val (low, high) = settings.minPixels to settings.maxPixels
            digest.update("$height $width $low $high $bucket $answer\n".toByteArray())
            if ((case + 1) % data["each"].int() == 0) digests += hex((digest.clone() as MessageDigest).digest())
        }
        assertEquals(data["digests"], digests)
    }

    @Test
    fun `the longest sides that there can be are no overflow`() {
        val found = smartResize(Int.MAX_VALUE, Int.MAX_VALUE, 28, 3136, 1003520)
        assertEquals(PixelSize(980, 980), found)
        assertEquals(PixelSize(28, 28), smartResize(1, 1, 28, 1, 784))
    }

    @Test
    fun `an image without pixels and one too long are refused in a sentence`() {
        fun refusal(height: Int, width: Int) =
            assertFailsWith<ImageException> { smartResize(height, width, 28, 3136, 1003520) }.message
        assertEquals("An image of 5x0 pixels has nothing in it; give another one.", refusal(0, 5))
        assertEquals(
            "An image of 201x1 pixels is longer than 200 times its other side, which the model cannot take; crop it" +
                " or cut it into pieces.",
            refusal(1, 201),
        )
    }
}

/** Of a golden file's [height, width]. */
fun pixelSize(value: Any?): PixelSize = value.listOf<Any?>().let { PixelSize(it[0].int(), it[1].int()) }
