package dev.pocketvl.decoding.speculation

import dev.pocketvl.Golden
import dev.pocketvl.double
import dev.pocketvl.int
import dev.pocketvl.listOf
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals

class LookupTest {
    private val none = IntArray(0)
    private val golden = Golden.read("lookup")

    private fun ints(value: Any?) = value.listOf<Any?>().map { it.int() }.toIntArray()

    @Test
    fun `drafts as in the golden`() {
        for (case in golden["drafts"].listOf<Map<String, Any?>>()) {
            val index = NgramIndex(ints(case["tokens"]), ints(case["never"]))
            val match = index.match()
            assertEquals(case["ngram"].int() to case["follows"].int(), (match?.ngram ?: 0) to (match?.follows ?: 0))
            assertContentEquals(ints(case["drafts"]), match?.let { index.draft(it, 15) } ?: none, "$case")
        }
    }

    @Test
    fun `draft lengths as in the golden`() {
        for (case in golden["lengths"].listOf<Map<String, Any?>>()) {
            val costs = case["costs"].listOf<Any?>().map { it.double() }.toDoubleArray()
            assertEquals(
                case["length"].int(),
                draftLength(case["acceptance"].double(), costs, case["limit"].int()),
                "$case",
            )
        }
    }

    @Test
    fun `the index finds what a search finds`() {
        val random = Random(1)
        repeat(300) {
            val tokens = IntArray(random.nextInt(700)) { random.nextInt(if (it % 2 == 0) 4 else 300) }
            val prompt = random.nextInt(tokens.size + 1)
            val index = NgramIndex(tokens.copyOf(prompt), none)
            for (token in tokens.drop(prompt)) index.add(token)
            val match = index.match()
            assertEquals(searched(tokens), match?.let { it.ngram to it.follows })
            if (match != null) {
                val whole = tokens.toMutableList()
                repeat(12) { whole.add(whole[match.follows + it]) }
                assertEquals(whole.drop(tokens.size), index.draft(match, 12).toList())
            }
        }
    }

    private fun searched(tokens: IntArray): Pair<Int, Int>? {
        for (ngram in listOf(8, 4, 2)) {
            for (follows in tokens.size - 1 downTo ngram) {
                if ((1..ngram).all { tokens[follows - it] == tokens[tokens.size - it] }) return ngram to follows
            }
        }
        return null
    }

    @Test
    fun `acceptance is that of lately and none at first`() {
        val acceptance = Acceptance()
        assertEquals(0.0, acceptance.probability(4))
        repeat(72) { acceptance.note(4, it >= 40) }
        assertEquals(32 / 34.0, acceptance.probability(4))
        acceptance.note(2, false)
        acceptance.note(2, true)
        assertEquals(1 / 4.0, acceptance.probability(2))
        assertEquals(0.0, acceptance.probability(8))
    }

    private fun assertCosts(costs: PassCosts, vararg expected: Double) =
        costs.relative()!!.zip(expected).forEach { (found, wanted) -> assertEquals(wanted, found, 1e-9) }

    @Test
    fun `costs are medians relative to one row`() {
        val costs = PassCosts()
        assertEquals(null, costs.relative())
        for (seconds in listOf(0.1, 9.0, 0.1)) costs.note(1, seconds)
        assertCosts(costs, 1.2, 1.6, 2.4, 4.0)
        costs.note(3, 0.25) // counts for 4
        assertCosts(costs, 1.2, 2.5, 3.3, 4.9)
        costs.note(16, 0.1)
        assertCosts(costs, 1.2, 2.5, 3.3, 1.0)
        costs.note(17, 0.001) // as nothing with drafts
        costs.note(2, 0.1)
        costs.note(2, 0.2)
        assertCosts(costs, 1.5, 2.5, 3.3, 1.0)
    }

    @Test
    fun `old costs are forgotten but for one row`() {
        val costs = PassCosts()
        costs.note(1, 0.1)
        costs.note(2, 5.0)
        repeat(256) { costs.note(4, 0.2) }
        assertCosts(costs, 1.2, 2.0, 2.8, 4.4)
        repeat(20) { costs.note(1, 0.4) }
        assertCosts(costs, 1.2, 0.5, 1.3, 2.9)
    }

    /** In which passes cost so much. */
    private fun costs(vararg relative: Double) =
        PassCosts().also { costs ->
            costs.note(1, 1.0)
            relative.forEachIndexed { index, cost -> costs.note(DRAFT_LENGTHS[index] + 1, cost) }
        }

    @Test
    fun `nothing is drafted before guesses were right`() {
        val lookup = PromptLookup(intArrayOf(1, 2, 3, 4, 5, 6, 7, 8, 9, 1), none, costs(1.0, 1.0, 1.0, 1.0))
        assertContentEquals(none, lookup.propose(15))
        lookup.add(2)
        assertContentEquals(none, lookup.propose(15)) // a match, but no guess was tested
        lookup.add(3)
        assertEquals(listOf(4, 5, 6), lookup.propose(15).take(3))
        lookup.notePass(16, 0.1, 15)
        for (token in listOf(4, 5, 9)) lookup.add(token)
        assertEquals(15 to 2, lookup.drafted to lookup.accepted)
    }

    @Test
    fun `an answer that quotes wrongly gets no drafts`() {
        val prompt = List(20) { listOf(1, 2, 3) }.flatten().toIntArray()
        val lookup = PromptLookup(prompt, none, costs(2.2, 2.3, 2.9, 4.3))
        for (token in listOf(4, 1, 2, 4, 1, 2, 5, 1, 2, 6, 1, 2, 7, 1, 2, 8, 1, 2)) lookup.add(token)
        assertContentEquals(none, lookup.propose(15))
    }
}
