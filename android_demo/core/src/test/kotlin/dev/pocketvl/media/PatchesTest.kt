package dev.pocketvl.media

import dev.pocketvl.Golden
import dev.pocketvl.ImageException
import dev.pocketvl.double
import dev.pocketvl.int
import dev.pocketvl.listOf
import dev.pocketvl.visionGeometry
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class PatchesTest {
    private val vision = visionGeometry()
    private val settings = imageSettings()

    @Test
    fun `patches of an image and of a video are the golden ones to the last bit`() {
        val data = Golden.read("patches")
        assertEquals(MEAN, data["mean"])
        assertEquals(STD, data["std"])
        for (case in data["cases"].listOf<Map<String, Any?>>()) {
            val frames = List(case["frames"].int()) { painted(data["width"].int(), data["height"].int(), it) }
            val grid = gridOf(frames[0].size(), vision, maxOf(1, frames.size / 2))
            assertEquals(case["grid"].listOf<Any?>().map { it.int() }, listOf(grid.t, grid.h, grid.w))
            val single = frames.size == 1
            val patches = if (single) patchify(frames[0], vision, settings) else patchify(frames, vision, settings)
            assertEquals(grid.t * grid.h * grid.w, patches.rows)
            for (sample in case["samples"].listOf<List<Any?>>()) {
                val found = patches[sample[0].int(), sample[1].int()]
                assertEquals(sample[2].double().toFloat(), found, sample.toString())
            }
        }
    }

    @Test
    fun `a still image is its frame repeated`() {
        val image = painted(56, 28)
        val twice = patchify(listOf(image, painted(56, 28)), vision, settings)
        assertContentEquals(twice.values, patchify(image, vision, settings).values)
    }

    @Test
    fun `frames that cannot be cut into patches are refused in a sentence`() {
        fun refusal(vararg frames: RgbImage) =
            assertFailsWith<ImageException> { patchify(frames.toList(), vision, settings) }.message
        assertEquals(
            "A video of 1 frames cannot be taken 2 at a time; sample a multiple of that.",
            refusal(painted(28, 28)),
        )
        assertEquals(
            "Every frame must be RGB of 28x56 pixels like the first, not RGB of 56x28; load and resize all frames" +
                " alike.",
            refusal(painted(28, 56), painted(56, 28)),
        )
        assertEquals(
            "An image of 30x28 pixels has a side that is no multiple of 28; resize it with resizeToBucket first.",
            refusal(painted(30, 28), painted(30, 28)),
        )
        refusal()
    }
}
