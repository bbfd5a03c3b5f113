package dev.pocketvl.text

import dev.pocketvl.Golden
import dev.pocketvl.double
import dev.pocketvl.int
import dev.pocketvl.listOf
import dev.pocketvl.media.PixelSize
import dev.pocketvl.members
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull

class AnswerTextTest {
    private val tokenizer = Checkpoints.tokenizer

    private fun read(markup: String): AnswerText =
        AnswerText(tokenizer).also { answer -> tokenizer.encodeTemplate(markup).forEach { answer.push(it) } }

    @Test
    fun `golden answers have their text and boxes`() {
        val golden = Golden.read("grounding")
        val (height, width) = golden["image_size"].listOf<Any?>().map { it.int() }
        for (case in golden["answers"].listOf<Any?>().map { it.members() }) {
            val answer = AnswerText(tokenizer)
            val pieces = case["ids"].listOf<Any?>().map { answer.push(it.int()) } + answer.finish()
            assertEquals(case["text"], pieces.joinToString(""))
            assertEquals(case["text"], answer.text)
            val expected =
                case["boxes"].listOf<List<Any?>>().map { (label, x1, y1, x2, y2) ->
                    Box(label as String, 0, x1.double(), y1.double(), x2.double(), y2.double())
                }
            assertEquals(expected, boxesInPixels(answer.boxes, listOf(PixelSize(height, width))), "$case")
        }
    }

    @Test
    fun `quads are read in their order`() {
        val answer =
            read("<|object_ref_start|>sign<|object_ref_end|><|quad_start|>(1,2),(3,4), (5,6),(7,1000)<|quad_end|>")
        assertEquals(listOf(FoundShape("sign", listOf(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 1000.0))), answer.quads)
        val (quad) = quadsInPixels(answer.quads, listOf(PixelSize(1, 1), PixelSize(100, 2000)))
        assertEquals(
            Quad("sign", 1, listOf(Point(2.0, 0.2), Point(6.0, 0.4), Point(10.0, 0.6), Point(14.0, 100.0))),
            quad,
        )
        assertEquals(emptyList(), quadsInPixels(answer.quads, emptyList()))
    }

    @Test
    fun `a mark of another kind ends what was open`() {
        val label = "<|object_ref_start|>a<|object_ref_end|>"
        assertEquals("a", read("$label<|box_start|>(1,2),(3,4)<|box_end|>").boxes.single().label)
        assertEquals("", read("$label<|box_start|>(1,2),(3,4)<|quad_start|><|box_end|>").boxes.single().label)
        assertEquals(emptyList(), read("<|quad_start|>(1,2),(3,4)<|quad_end|>").quads)
    }

    @Test
    fun `corners are read as Python's regular expression reads them`() {
        assertEquals(listOf(1.0, 2.0, 3.5, 4.0), parseCorners(" ( 1 ,\t2 ) , (3.50, 4)\n"))
        assertEquals(listOf(1.0, 2.0, 3.0, 4.0), parseCorners("(١,٢),(٣,٤)"))
        val odd =
            listOf("", "(", "(1,2)", "(1,2),(3,4),", "(1,2)(3,4)", "(12345,2),(3,4)", "(1.,2),(3,4)", "(-1,2),(3,4)")
        for (text in odd + listOf("(3,2),(1,4)", "(1,2),(1001,4)", "(1e1,2),(30,40)", "(1,2),(3,4) x")) {
            assertNull(parseCorners(text), text)
        }
        assertEquals(2, plainBoxes("((1,2),(3,4)(5,6),(7,8) (9,9),(1,1)").size)
    }

    @Test
    fun `spaces are only where words would touch`() {
        assertEquals("a (1,2) b", read("a<|box_start|>(1,2)<|box_end|>b").let { it.text + it.finish() })
        assertEquals("a, b", read("a<|box_start|><|box_end|>, b").text)
        assertEquals("(a)", read("(<|object_ref_start|>a<|object_ref_end|>)").text)
    }
}
