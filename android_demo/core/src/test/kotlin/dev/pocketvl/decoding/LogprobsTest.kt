package dev.pocketvl.decoding

import dev.pocketvl.Golden
import dev.pocketvl.Matrix
import dev.pocketvl.UsageException
import dev.pocketvl.double
import dev.pocketvl.int
import dev.pocketvl.listOf
import kotlin.math.abs
import kotlin.math.ln
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class LogprobsTest {
    private val none = IntArray(0)

    private fun row(vararg values: Float) = Matrix(1, values.size, values)

    @Test
    fun golden() {
        for (case in Golden.read("sampler")["logprobs"].listOf<Map<String, Any?>>()) {
            val values = case["logits"].listOf<Any?>().map { it.double().toFloat() }.toFloatArray()
            val found = logprobsOf(row(*values), 0, case["token"].int(), case["count"].int(), none)
            assertNear(case["logprob"].double(), found.logprob)
            val top = case["top"].listOf<List<Any?>>()
            assertEquals(top.map { it[0].int() }, found.top.map { it.tokenId })
            top.zip(found.top).forEach { (wanted, one) -> assertNear(wanted[1].double(), one.logprob) }
        }
    }

    private fun assertNear(expected: Double, found: Double) = assertEquals(expected, found, 1e-7 + abs(expected) * 1e-7)

    @Test
    fun `rows without a token and what cannot be are no alternatives`() {
        val found = logprobsOf(row(*FloatArray(8)), 0, 5, 3, intArrayOf(0, 2))
        assertEquals(listOf(1, 3, 4), found.top.map { it.tokenId })
        assertNear(-ln(8.0), found.logprob)
        val masked = logprobsOf(row(0f, Float.NEGATIVE_INFINITY, 0f), 0, 0, 3, none)
        assertEquals(listOf(0, 2), masked.top.map { it.tokenId })
        assertEquals(emptyList(), logprobsOf(row(1f, 2f), 0, 1, 0, none).top)
    }

    @Test
    fun `they are the model's own whatever the sampler does`() {
        val logits = row(2f, 1f, 0f)
        val seen = TokenList(intArrayOf(0))
        val choice = Chooser(Sampler(repetitionPenalty = 9.0), intArrayOf(1), 2).choose(logits, 0, seen)
        assertEquals(listOf(0, 2), choice.logprobs!!.top.map { it.tokenId })
        assertNear(logprobsOf(logits, 0, choice.token, 2, none).logprob, choice.logprobs.logprob)
        assertEquals(null, Chooser(Sampler(), none).choose(logits, 0, seen).logprobs)
        val spelled = choice.logprobs.spelled { byteArrayOf(it.toByte()) }
        assertEquals(listOf(0, 2), spelled.top.map { it.token.single().toInt() })
        assertEquals(choice.token, spelled.token.single().toInt())
    }

    @Test
    fun `numbers out of range are refused`() {
        for (count in listOf(-1, 21)) {
            val message = assertFailsWith<UsageException> { Chooser(Sampler(), none, count) }.message!!
            assertContains(message, "0 (none) to 20 alternatives, not $count")
        }
    }
}
