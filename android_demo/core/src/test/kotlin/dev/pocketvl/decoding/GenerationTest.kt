package dev.pocketvl.decoding

import dev.pocketvl.Matrix
import dev.pocketvl.PromptException
import dev.pocketvl.bundle.EmbeddingTable
import dev.pocketvl.bundle.goldenManifest
import dev.pocketvl.decoding.speculation.PassCosts
import dev.pocketvl.decoding.speculation.PromptLookup
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.io.TempDir
import java.io.File
import java.nio.ByteBuffer
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

/** Over an engine of hashes: drafts, chunks and cache, in any order, change no token. */
class GenerationTest {
    @TempDir
    lateinit var folder: File

    private val manifest =
        goldenManifest("executorch").copy(prefillChunk = 16, maxContext = 400).let { tiny ->
            val text = tiny.geometry.text.copy(vocabSize = 50, maxPositionEmbeddings = 400)
            tiny.copy(geometry = tiny.geometry.copy(text = text))
        }
    private val text = manifest.geometry.text
    private val engine = HashingEngine(text, manifest.maxContext, manifest.prefillChunk)
    private lateinit var decoder: Decoder

    @BeforeEach
    fun open() {
        val file = folder.resolve("table.bin")
        val bytes = ByteBuffer.allocate(text.vocabSize * text.hiddenSize * 4)
        while (bytes.hasRemaining()) bytes.putFloat(Random(bytes.position()).nextFloat())
        file.writeBytes(bytes.array())
        val table = EmbeddingTable("table.bin", text.vocabSize, text.hiddenSize, "float32", 0, null, null, null)
        decoder = Decoder(engine, EmbeddingMap(file, table), manifest)
    }

    /** The hidden state of the last token, once what the cache lacks was fed. */
    private fun prefill(feed: Feed): Matrix {
        var last: Matrix? = null
        for (chunk in decoder.feed(feed, engine.cache.plan(feed).kept)) last = chunk.slice(chunk.rows - 1, chunk.rows)
        return last!!
    }

    private fun answer(prompt: IntArray, sampler: Sampler, proposer: Proposer? = null): List<Int> {
        val hidden = prefill(textFeed(prompt, 0))
        val choices = generate(decoder, Chooser(sampler, intArrayOf(0, 1)), hidden, prompt, TOKENS, proposer)
        val tokens = List(TOKENS) { choices.next().token }
        val held = engine.cache.commonPrefix(textFeed(prompt + tokens.toIntArray(), 0))
        assertTrue(held >= prompt.size + TOKENS - 16) // what was read last may have had drafts after it
        return tokens
    }

    private fun prompt(random: Random) = IntArray(1 + random.nextInt(60)) { random.nextInt(50) }

    private fun samplers(): List<() -> Sampler> =
        listOf(
            { Sampler() },
            { Sampler(repetitionPenalty = 1.3) },
            { Sampler(0.7, seed = 1) },
            { Sampler(3.0, 9, 0.9, 1.1, 2) },
        )

    @Test
    fun `an answer is that of feeding prompt and answer at once`() {
        val prompt = prompt(Random(1))
        val tokens = answer(prompt, Sampler())
        for (length in listOf(0, 1, 17, TOKENS)) {
            engine.close()
            val again = textFeed(prompt + tokens.take(length).toIntArray(), 0)
            val logits = decoder.logits(prefill(again))
            val next = if (length < TOKENS) tokens[length] else continue
            assertEquals(next, Sampler().sample(logits, 0, TokenList(), intArrayOf(0, 1)))
        }
    }

    @Test
    fun `right and wrong drafts of any length change no token`() {
        val random = Random(2)
        repeat(60) { round ->
            val prompt = prompt(random)
            val sampler = samplers()[round % 4]
            val plain = answer(prompt, sampler())
            val lengths = List(TOKENS) { random.nextInt(16) }
            val wrong = List(random.nextInt(8)) { random.nextInt(TOKENS) }.toSet()
            assertEquals(plain, answer(prompt, sampler(), Oracle(plain, lengths, wrong)))
        }
    }

    @Test
    fun `lookup changes no token and saves passes`() {
        val random = Random(3)
        var drafted = 0
        repeat(20) { round ->
            val part = prompt(random)
            val sampler = samplers()[round % 4]
            val plain = answer(part, sampler())
            val quoting = part + plain.toIntArray() + part
            val expected = answer(quoting, sampler())
            val costs = PassCosts().also { costs -> for (rows in listOf(1, 2, 4, 8, 16)) costs.note(rows, 1e-9) }
            val lookup = PromptLookup(quoting, intArrayOf(0, 1), costs)
            assertEquals(expected, answer(quoting, sampler(), lookup))
            assertTrue(lookup.accepted <= lookup.drafted)
            drafted += lookup.drafted
        }
        assertTrue(drafted > 0)
    }

    @Test
    fun `right drafts save passes, and none is made beyond what is wanted`() {
        val prompt = intArrayOf(5, 6, 7, 8)
        val plain = answer(prompt, Sampler())
        val oracle = Oracle(plain, List(TOKENS) { 15 }, emptySet())
        assertEquals(plain, answer(prompt, Sampler(), oracle))
        assertEquals(listOf(16, 13), oracle.rows) // 30 tokens: the prompt's own, 16, and what is left
    }

    @Test
    fun `the next token is computed when it is asked for`() {
        val prompt = intArrayOf(3)
        val choices = generate(decoder, Chooser(Sampler(), IntArray(0)), prefill(textFeed(prompt, 0)), prompt, 9)
        val before = engine.passes
        choices.next()
        assertEquals(before, engine.passes)
        choices.next()
        assertEquals(before + 1, engine.passes)
        assertEquals(2, engine.cache.size)
    }

    @Test
    fun `images in any chunk and from any kept slot give the same hidden states`() {
        val tokens = manifest.specialTokens
        val random = Random(4)
        val media =
            listOf("a" to Grid(1, 8, 4), "b" to Grid(3, 4, 8)).map { (key, grid) ->
                val embeddings = Matrix(grid.t * grid.h * grid.w / 4, text.hiddenSize)
                for (index in embeddings.values.indices) embeddings.values[index] = random.nextFloat()
                Media(grid, key, embeddings)
            }
        val pads = media.map { one -> IntArray(one.embeddings.rows) { tokens.imagePad } }
        val ids = intArrayOf(1, 2) + pads[0] + intArrayOf(3) + pads[1] + intArrayOf(4, 5)
        val feed = buildFeed(ids, media, tokens, 2)
        val whole = hiddenStates(feed, 0)
        for (first in 0 until feed.size) {
            engine.close()
            if (first > 0) hiddenStates(feed, 0, first)
            assertEquals(whole.drop(first), hiddenStates(feed, first), "$first")
            assertEquals(feed.size, engine.cache.commonPrefix(feed))
        }
        assertFailsWith<PromptException> { decoder.feed(feed, feed.size) }
        assertFailsWith<PromptException> { decoder.feed(Feed.EMPTY) }
        assertFailsWith<PromptException> { decoder.feed(Feed(feed.tokenIds, feed.mediaKeys, feed.positions)) }
    }

    /** Of the slots from [first] on, until at least [until] are held. */
    private fun hiddenStates(feed: Feed, first: Int, until: Int = feed.size): List<Float> {
        val found = ArrayList<Float>()
        for (chunk in decoder.feed(feed, first)) {
            for (row in 0 until chunk.rows) found.add(chunk[row, 0])
            if (engine.cache.size >= until) break
        }
        engine.cache.truncate(until)
        return found
    }

    @Test
    fun `slots are said to hold a chunk only once it was fed`() {
        val chunks = decoder.feed(textFeed(IntArray(40) { it }, 0))
        assertEquals(0, engine.cache.size)
        assertEquals(16, chunks.next().rows)
        assertEquals(16, engine.cache.size)
        chunks.next()
        assertContentEquals(intArrayOf(32, 8), intArrayOf(engine.cache.size, chunks.next().rows))
        assertEquals(false, chunks.hasNext())
    }

    /** Drafts what the answer will be, but for some tokens. */
    private class Oracle(answer: List<Int>, lengths: List<Int>, wrong: Set<Int>) : Proposer {
        private val drafts = answer.mapIndexed { place, token -> if (place in wrong) (token + 1) % 50 else token }
        private val lengths = lengths.iterator()
        private var known = 0
        val rows = ArrayList<Int>()

        override fun add(token: Int) {
            known++
        }

        override fun propose(limit: Int): IntArray {
            val length = minOf(if (lengths.hasNext()) lengths.next() else 0, limit, drafts.size - known)
            return drafts.drop(known).take(length).toIntArray()
        }

        override fun notePass(rows: Int, seconds: Double, drafted: Int) {
            assertEquals(drafted + 1, rows)
            this.rows.add(rows)
        }
    }

    private companion object {
        const val TOKENS = 30
    }
}
