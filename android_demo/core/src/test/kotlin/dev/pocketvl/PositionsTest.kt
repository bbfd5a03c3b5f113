package dev.pocketvl

import dev.pocketvl.decoding.Grid
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.CRC32
import kotlin.math.abs
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class PositionsTest {
    private val golden = Golden.read("mrope")
    private val special = specialTokens(golden["special_tokens"].members())

    @Test
    fun `ids of text, images, videos and later turns are the golden ones`() {
        val cases = golden["cases"].listOf<Map<String, Any?>>()
        assertEquals(19, cases.size)
        for (case in cases) {
            val tokens = ints(case["tokens"])
            val grids = case["grids"].listOf<Any?>().map { grid(it) }
            val found = mropePositions(tokens, grids, special, golden["spatial_merge_size"].int(), case["start"].int())
            val expected = case["ids"].listOf<Any?>().map { ints(it) }
            for (axis in 0 until 3) assertContentEquals(expected[axis], found.ids[axis], case["name"].toString())
            assertEquals(case["next_position"].int(), found.next, case["name"].toString())
            assertEquals(case["rope_delta"].int(), found.next - case["tokens_before"].int() - tokens.size)
        }
    }

    @Test
    fun `placeholders and grids that do not belong together are refused`() {
        val pad = special.imagePad
        val square = Grid(1, 4, 4)

        fun refusal(tokens: IntArray, grids: List<Grid>) =
            assertFailsWith<PromptException> { mropePositions(tokens, grids, special, 2, 0) }.message
        assertEquals(
            "The prompt has more image placeholders than the 0 images given; give one image for each.",
            refusal(intArrayOf(1, pad), emptyList()),
        )
        assertEquals(
            "The prompt has fewer image placeholders than the 1 images given; put each image into a message.",
            refusal(intArrayOf(1, 2), listOf(square)),
        )
        val short =
            "An image of (1, 4, 4) patches needs 4 placeholder tokens in a row at token 1, and the prompt has" +
                " fewer; build it with PromptEncoder."
        assertEquals(short, refusal(intArrayOf(1, pad, pad, pad), listOf(square)))
        assertEquals(short, refusal(intArrayOf(1, pad, pad, 5, pad, pad), listOf(square)))
        assertEquals(short, refusal(intArrayOf(1, pad, pad, special.videoPad, pad), listOf(square)))
        refusal(intArrayOf(1, pad), listOf(Grid(1, 1, 1)))
        refusal(intArrayOf(1, pad), listOf(Grid(1 shl 30, 1 shl 30, 1 shl 30)))
    }

    @Test
    fun `vision positions and angles are the golden ones`() {
        val data = Golden.read("vision_rope")
        for (case in data["cases"].listOf<Map<String, Any?>>()) {
            val rows = case["rows"].int()
            val columns = case["columns"].int()
            case["positions"]?.let { expected ->
                val flat =
                    expected
                        .listOf<List<Any?>>()
                        .flatten()
                        .map { it.int() }
                        .toIntArray()
                assertContentEquals(flat, visionPositions(rows, columns, data["spatial_merge_size"].int()))
            }
            val rope = visionRope(rows, columns, visionGeometry(headDim = case["head_dim"].int()))
            assertEquals(rows * columns, rope.cos.rows)
            checkRope(rope, case, 4e-6)
        }
    }

    @Test
    fun `text angles are the golden ones`() {
        val data = Golden.read("text_rope")
        val tokens = data["ids"].listOf<Any?>().map { ints(it) }
        val ids = Array(3) { axis -> IntArray(tokens.size) { tokens[it][axis] } }
        for (case in data["cases"].listOf<Map<String, Any?>>()) {
            val section = case["mrope_section"].listOf<Any?>().map { it.int() }
            val geometry = textGeometry(case["head_dim"].int(), data["theta"].double(), section)
            checkRope(textRope(ids, geometry), case, 1e-4)
        }
    }

    @Test
    fun `some tokens' angles are those rows of all tokens' angles`() {
        val geometry = textGeometry(32, 1e6, listOf(4, 6, 6))
        val ids = arrayOf(intArrayOf(3, 4, 50), intArrayOf(3, 9, 50), intArrayOf(3, 700, 50))
        val all = textRope(ids, geometry)
        val cos = Matrix(2, 32)
        val sin = Matrix(2, 32)
        TextRope(geometry).fill(ids, 1, cos, sin)
        assertContentEquals(all.cos.slice(1, 3).values, cos.values)
        assertContentEquals(all.sin.slice(1, 3).values, sin.values)
    }

    /** Every bit is Python's, and samples are near the reference model's. */
    private fun checkRope(rope: Rope, golden: Map<String, Any?>, tolerance: Double) {
        val bits = listOf(rope.cos, rope.sin).map { checksum(it.values) }
        assertEquals(golden["bits"].listOf<Number>().map { it.toLong() }, bits)
        for (sample in golden["samples"].listOf<List<Any?>>()) {
            val row = sample[0].int()
            val element = sample[1].int()
            val wrong =
                maxOf(
                    abs(rope.cos[row, element] - sample[2].double()),
                    abs(rope.sin[row, element] - sample[3].double()),
                )
            assertTrue(wrong <= tolerance, "row $row, element $element is $wrong away")
        }
    }

    private fun checksum(values: FloatArray): Long {
        val bytes = ByteBuffer.allocate(4 * values.size).order(ByteOrder.LITTLE_ENDIAN)
        values.forEach(bytes::putFloat)
        return CRC32().apply { update(bytes.array()) }.value
    }

    private fun ints(value: Any?): IntArray = value.listOf<Any?>().map { it.int() }.toIntArray()

    private fun grid(value: Any?): Grid = ints(value).let { (t, h, w) -> Grid(t, h, w) }
}
