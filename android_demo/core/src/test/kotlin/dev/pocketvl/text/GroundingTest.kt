package dev.pocketvl.text

import dev.pocketvl.Golden
import dev.pocketvl.PromptException
import dev.pocketvl.double
import dev.pocketvl.int
import dev.pocketvl.listOf
import dev.pocketvl.media.PixelSize
import dev.pocketvl.members
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class GroundingTest {
    @Test
    fun `golden shapes have their markup`() {
        for (case in Golden.read("grounding")["shapes"].listOf<Any?>().map { it.members() }) {
            val kind = ShapeKind.entries.first { it.label == case["kind"] }
            val numbers = case["numbers"].listOf<Any?>().map { it.double() }
            val size = case["size"]?.listOf<Any?>()?.let { (height, width) -> PixelSize(height.int(), width.int()) }
            val shape = inThousandths(Shape(kind, numbers, inPixels = size != null), listOfNotNull(size))
            assertEquals(case["markup"], markup(shape), "$case")
        }
    }

    @Test
    fun `a thin box in pixels may become a line`() {
        val box = inThousandths(Shape.boxInPixels(0.0, 0.0, 0.1, 10.0), listOf(PixelSize(10, 1000)))
        assertEquals("(0,0),(0,1000)", markup(box))
    }

    @Test
    fun `shapes lie in the last image before them, or in the one that they name`() {
        val image = ImagePart(null)
        val sizes = listOf(PixelSize(10, 10), PixelSize(20, 20))
        val box = Shape.boxInPixels(0.0, 0.0, 10.0, 10.0)
        val parts = listOf(image, box, image, box, box.copy(image = 0))
        val (message) = withThousandths(listOf(Message(Role.USER, parts)), sizes, 0)
        assertEquals(
            listOf("(0,0),(1000,1000)", "(0,0),(500,500)", "(0,0),(1000,1000)"),
            message.parts.filterIsInstance<Shape>().map(::markup),
        )
        assertFailsWith<PromptException> { withThousandths(listOf(Message(Role.USER, listOf(box))), sizes, 0) }
        assertFailsWith<PromptException> { inThousandths(box.copy(image = 2), sizes) }
        assertFailsWith<PromptException> { inThousandths(Shape.boxInPixels(0.0, 0.0, 10.5, 1.0, 0), sizes) }
    }

    @Test
    fun `what is no shape is refused`() {
        val nan = Double.NaN
        val odd: List<() -> Unit> =
            listOf(
                { Shape.box(5.0, 0.0, 5.0, 1.0) },
                { Shape.box(0.0, 0.0, 1000.5, 1.0) },
                { Shape.box(-1.0, 0.0, 1.0, 1.0) },
                { Shape.box(nan, 0.0, 1.0, 1.0) },
                { Shape.boxInPixels(0.0, 0.0, Double.POSITIVE_INFINITY, 1.0) },
                { Shape.boxInPixels(0.0, 0.0, 1.0, 1.0, -1) },
                { Shape.quad(listOf(1.0)) },
                { Shape(ShapeKind.BOX, listOf(0.0, 0.0, 1.0, 1.0), image = 1) },
            )
        for (make in odd) assertFailsWith<PromptException> { make() }
    }
}
