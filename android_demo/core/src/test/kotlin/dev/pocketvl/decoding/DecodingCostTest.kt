package dev.pocketvl.decoding

import dev.pocketvl.Matrix
import dev.pocketvl.TextEngine
import dev.pocketvl.bundle.EmbeddingTable
import dev.pocketvl.bundle.goldenManifest
import dev.pocketvl.decoding.speculation.PassCosts
import dev.pocketvl.decoding.speculation.PromptLookup
import org.junit.jupiter.api.io.TempDir
import java.io.File
import java.lang.management.ManagementFactory
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertTrue

/** What a token costs beyond the engine, with the vocabulary and width of the 2B model. */
class DecodingCostTest {
    @TempDir
    lateinit var folder: File

    private val manifest =
        goldenManifest("executorch").copy(prefillChunk = 64, maxContext = 2048).let { tiny ->
            val text =
                tiny.geometry.text.copy(
                    vocabSize = 151_936,
                    hiddenSize = 1536,
                    headDim = 128,
                    mropeSection = listOf(16, 24, 24),
                    maxPositionEmbeddings = 2048,
                )
            tiny.copy(geometry = tiny.geometry.copy(text = text, vision = tiny.geometry.vision.copy(outputSize = 1536)))
        }
    private val text = manifest.geometry.text
    private val never = IntArray(279) { 151_657 + it }

    /** Gives one of some rows of logits, like a model's: most of them small, few of them likely. */
    private inner class PlainEngine : TextEngine {
        override val cache = KVCache()
        private val rows =
            List(8) { seed ->
                val random = java.util.Random(seed.toLong())
                FloatArray(text.vocabSize) { (random.nextGaussian() * 2.5).toFloat() }.also { it[seed * 1000] = 14f }
            }

        override fun decode(embeddings: Matrix, ropeCos: Matrix, ropeSin: Matrix, cachePosition: Int, hidden: Matrix) =
            cache.truncate(cachePosition)

        override fun logits(hidden: Matrix, logits: Matrix) {
            for (row in 0 until logits.rows) rows[(cache.size + row) % 8].copyInto(logits.values, row * logits.columns)
        }

        override fun close() = cache.truncate(0)
    }

    private val threads = ManagementFactory.getThreadMXBean() as com.sun.management.ThreadMXBean

    private fun allocated() = threads.getThreadAllocatedBytes(Thread.currentThread().id)

    @Test
    fun `a token allocates little beyond its logits, however it is chosen`() {
        val file = folder.resolve("table.bin")
        val table = EmbeddingTable("table.bin", text.vocabSize, text.hiddenSize, "int4", 0, 0, "bfloat16", 32)
        java.io.RandomAccessFile(file, "rw").use { it.setLength(table.end) }
        val decoder = Decoder(PlainEngine(), EmbeddingMap(file, table), manifest)
        val prompt = IntArray(500) { it }
        decoder.logits(decoder.extend(0, IntArray(15))) // rows for drafts are made once
        val ways =
            listOf<Pair<String, Chooser>>(
                "greedy" to Chooser(Sampler(), never),
                "greedy, penalty 1.05" to Chooser(Sampler(repetitionPenalty = 1.05), never),
                "top_k 40, top_p 0.9" to Chooser(Sampler(0.7, 40, 0.9, seed = 1), never),
                "top_k 1, top_p 0.001, penalty 1.05" to Chooser(Sampler(0.01, 1, 0.001, 1.05, 1), never),
                "top_p 0.9" to Chooser(Sampler(0.7, topP = 0.9, seed = 1), never),
                "temperature alone" to Chooser(Sampler(1.0, seed = 1), never),
                "greedy, 5 logprobs" to Chooser(Sampler(), never, 5),
            )
        for ((way, chooser) in ways) {
            for (lookup in listOf(false, true)) {
                val proposer = if (lookup) PromptLookup(prompt, never, PassCosts()) else null
                var hidden: Matrix? = null
                for (chunk in decoder.feed(textFeed(prompt, 0))) hidden = chunk.slice(chunk.rows - 1, chunk.rows)
                val choices = generate(decoder, chooser, hidden!!, prompt, 1000, proposer)
                repeat(100) { choices.next() }
                val before = allocated()
                repeat(TOKENS) { choices.next() }
                val bytes = (allocated() - before) / TOKENS
                println("DecodingCostTest: $way${if (lookup) ", lookup" else ""}: $bytes bytes allocated per token")
                assertTrue(bytes < 8192, "$way: $bytes bytes per token") // the logits alone have 607,744
            }
        }
    }

    @Test
    fun `time of choosing`() {
        val rounds = Integer.getInteger("pocketvl.measure", 20)
        val seen = TokenList(IntArray(1500) { Random(it).nextInt(150_000) })
        val logits = Matrix(1, text.vocabSize)
        PlainEngine().logits(Matrix(1, text.hiddenSize), logits)
        val ways =
            listOf(
                "greedy" to { Sampler() },
                "greedy, penalty 1.05" to { Sampler(repetitionPenalty = 1.05) },
                "top_k 40, top_p 0.9" to { Sampler(0.7, 40, 0.9, seed = 1) },
                "top_p 0.9" to { Sampler(0.7, topP = 0.9, seed = 1) },
                "temperature alone" to { Sampler(1.0, seed = 1) },
            )
        for ((way, make) in ways) {
            val chooser = Chooser(make(), never)
            val times =
                List(rounds) {
                    val began = System.nanoTime()
                    chooser.choose(logits, 0, seen)
                    (System.nanoTime() - began) / 1e6
                }
            val median = times.sorted()[rounds / 2]
            println("DecodingCostTest: $way: %.3f ms per token".format(median))
            assertTrue(median < 250, "$way: $median ms")
        }
    }

    private companion object {
        const val TOKENS = 200
    }
}
