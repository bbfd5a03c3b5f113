package dev.pocketvl.decoding

import dev.pocketvl.EngineException
import dev.pocketvl.Golden
import dev.pocketvl.Matrix
import dev.pocketvl.UsageException
import dev.pocketvl.double
import dev.pocketvl.int
import dev.pocketvl.listOf
import kotlin.math.abs
import kotlin.math.exp
import kotlin.math.ln
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotEquals
import kotlin.test.assertTrue

class SamplerTest {
    private val none = IntArray(0)
    private val logits = row(*doubleArrayOf(0.1, 0.4, 0.2, 0.25, 0.05).map(::ln).toDoubleArray())

    private fun row(vararg values: Double) = Matrix(1, values.size, values.map { it.toFloat() }.toFloatArray())

    private fun tokens(vararg ids: Int) = TokenList(ids)

    private fun ints(value: Any?) = value.listOf<Any?>().map { it.int() }.toIntArray()

    private fun doubles(value: Any?) = value.listOf<Any?>().map { it.double() }.toDoubleArray()

    @Test
    fun `candidates are those of the golden, in any row`() {
        for (case in Golden.read("sampler")["cases"].listOf<Map<String, Any?>>()) {
            val sampler =
                Sampler(
                    case["temperature"].double(),
                    case["top_k"].int(),
                    case["top_p"].double(),
                    case["repetition_penalty"].double(),
                )
            val values = doubles(case["logits"]).map { it.toFloat() }.toFloatArray()
            val noise = FloatArray(values.size) { 99f }
            val rows = Matrix(3, values.size, noise + values + noise)
            repeat(2) {
                // nothing of the first time is left
                val found = sampler.candidates(rows, 1, TokenList(ints(case["seen"])), ints(case["never"]))
                val order = found.ids.indices.sortedBy { found.ids[it] }
                assertEquals(ints(case["ids"]).toList(), order.map { found.ids[it] }, "$case")
                val expected = doubles(case["probabilities"])
                order.forEachIndexed { rank, index ->
                    assertEquals(expected[rank], found.probabilities[index], expected[rank] * 1e-5)
                }
            }
        }
    }

    @Test
    fun `candidates are those of plain loops over random logits`() {
        val random = Random(3)
        repeat(3000) { round ->
            val count = 1 + random.nextInt(60)
            val coarse = random.nextBoolean() // so that many are equal
            val values =
                FloatArray(count) {
                    val value = random.nextDouble(-6.0, 6.0)
                    if (coarse) Math.round(value).toFloat() else value.toFloat()
                }
            if (random.nextInt(4) == 0) values[random.nextInt(count)] = Float.NEGATIVE_INFINITY
            val seen = IntArray(random.nextInt(8)) { random.nextInt(-2, count + 5) }
            val never = IntArray(random.nextInt(4)) { random.nextInt(count + 5) }.sortedArray()
            val temperature = if (random.nextInt(4) == 0) 0.0 else random.nextDouble(0.1, 3.0)
            val topK = if (random.nextBoolean()) 0 else 1 + random.nextInt(70)
            val topP = if (random.nextBoolean()) 1.0 else random.nextDouble(0.05, 0.999)
            val penalty = listOf(1.0, 1.3, 0.5)[random.nextInt(3)]
            val expected = plain(values, seen, never, temperature, topK, topP, penalty) ?: return@repeat
            val sampler = Sampler(temperature, topK, topP, penalty, 1)
            val matrix = Matrix(1, count, values)
            val found = sampler.candidates(matrix, 0, TokenList(seen), never)
            val byId = found.ids.zip(found.probabilities.toList()).toMap()
            assertEquals(expected.keys, byId.keys, "round $round")
            for ((id, probability) in expected) assertEquals(probability, byId.getValue(id), 1e-9)
            repeat(5) { assertContains(expected.keys, sampler.sample(matrix, 0, TokenList(seen), never)) }
        }
    }

    /** Ids and their probabilities by sorting; null where nothing is left or a bound is too close to call. */
    private fun plain(
        values: FloatArray,
        seen: IntArray,
        never: IntArray,
        temperature: Double,
        topK: Int,
        topP: Double,
        penalty: Double,
    ): Map<Int, Double>? {
        if (values.max() == Float.NEGATIVE_INFINITY) return null
        val scores =
            values.indices
                .filter { it !in never }
                .associateWith { values[it].toDouble() }
                .toMutableMap()
        for (id in seen.toSet()) scores[id]?.let { scores[id] = if (it < 0) it * penalty else it / penalty }
        scores.values.removeAll { it == Double.NEGATIVE_INFINITY }
        if (scores.isEmpty()) return null
        val order = scores.keys.sortedWith(compareBy({ -scores.getValue(it) }, { it }))
        if (temperature == 0.0) return mapOf(order[0] to 1.0)
        val kept = if (topK > 0) order.take(topK) else order
        val weights = kept.map { exp((scores.getValue(it) - scores.getValue(order[0])) / temperature) }
        var before = 0.0
        val mass = topP * weights.sum()
        val nucleus = LinkedHashMap<Int, Double>()
        for ((id, weight) in kept.zip(weights)) {
            if (topP < 1 && abs(before - mass) < 1e-9) return null
            if (topP >= 1 || before < mass) nucleus[id] = weight
            before += weight
        }
        val total = nucleus.values.sum()
        return nucleus.mapValues { it.value / total }
    }

    private fun frequencies(sampler: Sampler, draws: Int = 20_000): List<Double> {
        val counts = IntArray(5)
        repeat(draws) { counts[sampler.sample(logits, 0, tokens(), none)]++ }
        return counts.map { it.toDouble() / draws }
    }

    @Test
    fun `draws have their probabilities`() {
        val cases =
            listOf(
                Sampler(1.0, seed = 1) to listOf(0.1, 0.4, 0.2, 0.25, 0.05),
                Sampler(1.0, topK = 2, seed = 1) to listOf(0.0, 0.4 / 0.65, 0.0, 0.25 / 0.65, 0.0),
                Sampler(1.0, topP = 0.6, seed = 1) to listOf(0.0, 0.4 / 0.65, 0.0, 0.25 / 0.65, 0.0),
                Sampler(1.0, topP = 1e-18, seed = 1) to listOf(0.0, 1.0, 0.0, 0.0, 0.0),
                Sampler(1e-320, seed = 1) to listOf(0.0, 1.0, 0.0, 0.0, 0.0),
            )
        for ((sampler, expected) in cases) {
            frequencies(sampler).zip(expected).forEach { (found, wanted) -> assertEquals(wanted, found, 0.012) }
        }
    }

    @Test
    fun `greedy takes the likeliest and the first of equals, and the penalty pushes down both signs`() {
        val greedy = Sampler()
        assertEquals(1, greedy.sample(row(0.0, 3.0, 3.0), 0, tokens(), none))
        val penalizing = Sampler(repetitionPenalty = 2.0)
        assertEquals(1, penalizing.sample(row(4.0, 3.0, -1.0), 0, tokens(0, 0, 99), none))
        assertEquals(0, penalizing.sample(row(-1.5, -1.0), 0, tokens(1), none))
        assertEquals(1, penalizing.sample(row(-1.5, -1.0), 0, tokens(), none))
    }

    @Test
    fun `seeds repeat and differ`() {
        fun draws(seed: Long) =
            Sampler(1.0, seed = seed).let { one -> List(30) { one.sample(logits, 0, tokens(), none) } }
        assertEquals(draws(3), draws(3))
        assertEquals(20, (0L until 20).map(::draws).toSet().size)
        val first = (0L until 1000).map { Sampler(1.0, seed = it).sample(logits, 0, tokens(), none) }
        assertEquals(0.4, first.count { it == 1 } / 1000.0, 0.05) // neighbouring seeds have nothing in common
        assertNotEquals(List(30) { Sampler(1.0).sample(logits, 0, tokens(), none) }.toSet().size, 1)
    }

    @Test
    fun `random numbers are those of the paper's generator`() {
        // splitmix64.c of S. Vigna gives these for the seed 1234567.
        val random = SplitMix64(1234567)
        val expected = listOf(6457827717110365317UL, 3203168211198807973UL, 9817491932198370423UL)
        assertContentEquals(expected.map { (it shr 11).toDouble() / (1L shl 53) }, List(3) { random.nextDouble() })
    }

    @Test
    fun `values that cannot be meant`() {
        val cases =
            listOf<Pair<String, () -> Sampler>>(
                "temperature must be 0" to { Sampler(-0.1) },
                "temperature" to { Sampler(Double.NaN) },
                "temperature" to { Sampler(Double.POSITIVE_INFINITY) },
                "top_k must be 0" to { Sampler(topK = -1) },
                "top_p must lie above 0" to { Sampler(topP = 0.0) },
                "not 1.1" to { Sampler(topP = 1.1) },
                "top_p" to { Sampler(topP = Double.NaN) },
                "repetition_penalty must be above 0" to { Sampler(repetitionPenalty = 0.0) },
                "repetition_penalty" to { Sampler(repetitionPenalty = Double.NaN) },
                "seed must be 0" to { Sampler(seed = -1) },
            )
        for ((said, make) in cases) assertContains(assertFailsWith<UsageException> { make() }.message!!, said)
    }

    @Test
    fun `logits that are no numbers are an engine's fault`() {
        val nan = Double.NaN
        val inf = Double.POSITIVE_INFINITY
        val bad = listOf(row(0.0, nan), row(nan, 0.0), row(0.0, inf), row(-inf, -inf), row())
        for (sampler in listOf(Sampler(), Sampler(1.0), Sampler(1.0, 1), Sampler(repetitionPenalty = 2.0))) {
            for (one in bad) {
                for (never in listOf(none, intArrayOf(1))) {
                    val thrown = assertFailsWith<EngineException> { sampler.sample(one, 0, tokens(0), never) }
                    assertContains(thrown.message!!, "largest logit is")
                }
            }
        }
    }

    @Test
    fun `ids without a token and of no probability are never drawn`() {
        val hot = Sampler(50.0, repetitionPenalty = 0.1, seed = 0)
        val drawn = List(100) { hot.sample(row(1.0, 9.0, 2.0, 8.0), 0, tokens(1, 3), intArrayOf(1, 3)) }
        assertEquals(setOf(0, 2), drawn.toSet())
        val masked = row(0.0, Double.NEGATIVE_INFINITY, 0.0)
        for (sampler in listOf(Sampler(5.0, repetitionPenalty = 1.5, seed = 0), Sampler(5.0, 3, 0.99, 1.5, 0))) {
            assertEquals(setOf(0, 2), List(100) { sampler.sample(masked, 0, tokens(1), none) }.toSet())
        }
        val thrown = assertFailsWith<EngineException> { Sampler().sample(row(1.0, 2.0), 0, tokens(), intArrayOf(0, 1)) }
        assertContains(thrown.message!!, "leave no token of the vocabulary")
    }

    @Test
    fun `penalties beyond all numbers leave something to draw`() {
        val sampler = Sampler(1.0, repetitionPenalty = 1e-300, seed = 0)
        assertEquals(1, sampler.sample(row(0.0, 3e38), 0, tokens(1), none))
        val harsh = Sampler(1.0, repetitionPenalty = 1e300, seed = 0)
        assertTrue(harsh.sample(row(-3e38, -2e38), 0, tokens(0, 1), none) in 0..1)
    }
}
