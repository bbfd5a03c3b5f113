package dev.pocketvl.decoding

import dev.pocketvl.Golden
import dev.pocketvl.int
import dev.pocketvl.listOf
import kotlin.test.Test
import kotlin.test.assertEquals

class StoppingTest {
    @Test
    fun `repetition as in the golden`() {
        for (case in Golden.read("repetition")["cases"].listOf<Map<String, Any?>>()) {
            val (head, block, tail) =
                listOf("head", "block", "tail").map { key ->
                    case[key].listOf<Any?>().map { it.int() }
                }
            val tokens = head + List(case["count"].int()) { block }.flatten() + tail
            assertEquals(case["repeats"], repeats(TokenList(tokens.toIntArray())), "$case")
        }
    }

    private fun reason(rule: StopRule, vararg tokens: Int, cancelled: Boolean = false, isWhole: Boolean = false) =
        rule.reason(TokenList(tokens), cancelled, isWhole)

    @Test
    fun `what comes first decides`() {
        val rule = StopRule(listOf(9, 8), maxTokens = 3, room = 4, repetition = true)
        assertEquals(3, rule.most)
        assertEquals(null, reason(rule, 1, 2))
        assertEquals(StopReason.STOP, reason(rule, 1, 2, 8, cancelled = true))
        assertEquals(StopReason.STOP, reason(rule, 1, cancelled = true, isWhole = true))
        assertEquals(StopReason.CANCELLED, reason(rule, 1, 2, 3, cancelled = true))
        assertEquals(StopReason.LENGTH, reason(rule, 1, 2, 3))
        assertEquals(null, reason(rule, 9, 1)) // only the last token ends an answer
    }

    @Test
    fun `one token more than fits`() {
        val rule = StopRule(listOf(9), maxTokens = 100, room = 2, repetition = true)
        assertEquals(3, rule.most)
        assertEquals(null, reason(rule, 1, 2))
        assertEquals(StopReason.CONTEXT, reason(rule, 1, 2, 3))
        assertEquals(Int.MAX_VALUE - 1, StopRule(listOf(9), Int.MAX_VALUE - 1, Int.MAX_VALUE, true).most)
    }

    @Test
    fun `repetition ends an answer only where it is to`() {
        val same = IntArray(128) { 5 }
        assertEquals(StopReason.REPETITION, reason(StopRule(listOf(9), 1000, 1000, true), *same))
        assertEquals(null, reason(StopRule(listOf(9), 1000, 1000, false), *same))
    }
}
