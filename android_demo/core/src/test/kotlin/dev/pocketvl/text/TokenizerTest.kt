package dev.pocketvl.text

import dev.pocketvl.BundleException
import dev.pocketvl.Golden
import dev.pocketvl.PromptException
import dev.pocketvl.int
import dev.pocketvl.listOf
import dev.pocketvl.members
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.CRC32
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull
import kotlin.test.assertTrue

class TokenizerTest {
    private val tokenizer = Checkpoints.tokenizer

    @Test
    fun `golden strings have the ids of the tokenizers library`() {
        val cases = Golden.read("tokenizer_strings")["cases"].listOf<Any?>()
        for (case in cases.map { it.members() }) {
            val text = case["text"] as String
            assertEquals(case["ids"].listOf<Any?>().map { it.int() }, tokenizer.encode(text).toList(), text)
        }
    }

    @Test
    fun `two thousand random texts have the ids of the tokenizers library`() {
        val cases = Golden.read("tokenizer_samples")["cases"].listOf<Any?>()
        assertEquals(2000, cases.size)
        for (case in cases.map { it.members() }) {
            val text = case["text"] as String
            assertEquals(case["plain"], checked(tokenizer.encode(text)), text)
            assertEquals(case["marked"] ?: case["plain"], checked(tokenizer.encodeTemplate(text)), text)
        }
    }

    @Test
    fun `ordinary text never holds special ids`() {
        val ids = tokenizer.encode("<|im_start|>system\n<|image_pad|><|im_end|>")
        assertTrue(ids.none { it in tokenizer.specialIds })
        assertEquals(14, tokenizer.specialIds.size)
    }

    @Test
    fun `every text decodes to its form C, at once and as a stream`() {
        for (text in listOf("日本語 🙂 café", "e\u0301", "👩‍👩‍👧‍👦", "\u0000\u007f", "a<|box_start|>b")) {
            val ids = tokenizer.encode(text)
            val normal = java.text.Normalizer.normalize(text, java.text.Normalizer.Form.NFC)
            assertEquals(normal, tokenizer.decode(ids))
            val stream = tokenizer.stream()
            assertEquals(normal, ids.joinToString("") { stream.push(it) } + stream.finish())
        }
    }

    @Test
    fun `golden streams hold a character back until its last byte`() {
        for (case in Golden.read("prompts")["streams"].listOf<Any?>().map { it.members() }) {
            val stream = tokenizer.stream()
            assertEquals(case["pieces"], case["ids"].listOf<Any?>().map { stream.push(it.int()) })
        }
    }

    @Test
    fun `a character that is cut off becomes one replacement and the stream begins anew`() {
        val ids = tokenizer.encode("🙂")
        val stream = tokenizer.stream()
        assertEquals(listOf("", "", "", "🙂"), ids.map { stream.push(it) })
        assertEquals(listOf("", ""), ids.take(2).map { stream.push(it) })
        assertEquals("\ufffd", stream.finish())
        assertEquals("", stream.finish())
        assertEquals(listOf("", "", "", "🙂"), ids.map { stream.push(it) })
    }

    @Test
    fun `special tokens are left out unless they are asked for`() {
        val ids = tokenizer.encodeTemplate("<|box_start|>(1,2)<|box_end|>")
        assertEquals("(1,2)", tokenizer.decode(ids))
        assertEquals("<|box_start|>(1,2)<|box_end|>", tokenizer.decode(ids, skipSpecial = false))
        assertEquals(ids.last(), tokenizer.tokenId("<|box_end|>"))
        assertNull(tokenizer.tokenId("box"))
    }

    @Test
    fun `ids without a token have no text`() {
        assertEquals("", tokenizer.decode(intArrayOf(-1, 1024, 1_000_000, Int.MIN_VALUE)))
        assertContentEquals(intArrayOf(1024, 1025), tokenizer.missing(1026))
    }

    @Test
    fun `half of a surrogate pair is refused`() {
        for (text in listOf("a\ud83d", "\ude42", "\ude42\ud83d", "\ud83d\ud83d\ude42")) {
            val error = assertFailsWith<PromptException>(text) { tokenizer.encode(text) }
            assertTrue("surrogate" in error.message!!)
        }
    }

    @Test
    fun `a word of a hundred thousand characters takes no quadratic time`() {
        for (word in listOf("ab".repeat(50_000), "a".repeat(100_000), "é".repeat(100_000), "!?".repeat(50_000))) {
            val start = System.nanoTime()
            val ids = tokenizer.encode(word)
            assertTrue(System.nanoTime() - start < 10_000_000_000, "it took seconds")
            assertEquals(word, tokenizer.decode(ids))
        }
    }

    @Test
    fun `several threads may encode at once`() {
        val texts = (0 until 200).map { "thread number $it says café 🙂 ${it * it}" }
        val expected = texts.map { tokenizer.encode(it).toList() }
        val other = Tokenizer(Checkpoints.tiny.resolve("tokenizer.json"))
        val found = Array(4) { emptyList<List<Int>>() }
        val threads = (0 until 4).map { i -> Thread { found[i] = texts.map { other.encode(it).toList() } } }
        threads.forEach(Thread::start)
        threads.forEach(Thread::join)
        for (each in found) assertEquals(expected, each)
    }

    @Test
    fun `the model's tokens are checked`() {
        val special = Checkpoints.special
        assertContentEquals(intArrayOf(), tokenizer.check(special, 1024))
        assertContentEquals(intArrayOf(1024), tokenizer.check(special, 1025))
        val odd =
            listOf(
                special.copy(imagePad = special.videoPad) to 1024,
                special.copy(imEnd = 5) to 1024,
                special.copy(eos = listOf(5)) to 1024,
                special.copy(visionEnd = -1) to 1024,
                special to 1023,
            )
        for ((tokens, rows) in odd) assertFailsWith<BundleException> { tokenizer.check(tokens, rows) }
    }

    private fun checked(ids: IntArray): List<Long> {
        val bytes = ByteBuffer.allocate(4 * ids.size).order(ByteOrder.LITTLE_ENDIAN)
        ids.forEach(bytes::putInt)
        return listOf(ids.size.toLong(), CRC32().apply { update(bytes.array()) }.value)
    }
}
