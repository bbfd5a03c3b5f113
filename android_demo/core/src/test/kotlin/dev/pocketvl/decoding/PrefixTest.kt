package dev.pocketvl.decoding

import dev.pocketvl.Golden
import dev.pocketvl.int
import dev.pocketvl.listOf
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class PrefixTest {
    private fun feed(slots: List<Pair<Int, String?>>): Feed {
        val axis = IntArray(slots.size) { it }
        val ids = slots.map { it.first }.toIntArray()
        return Feed(ids, slots.map { it.second }.toTypedArray(), arrayOf(axis, axis, axis))
    }

    private fun cache(slots: List<Pair<Int, String?>>) = KVCache().also { it.append(feed(slots)) }

    @Test
    fun golden() {
        for (case in Golden.read("prefix")["cases"].listOf<Map<String, Any?>>()) {
            val (held, wanted) =
                listOf("held", "wanted").map { name ->
                    case[name].listOf<List<Any?>>().map { (token, key) -> token.int() to key as String? }
                }
            val why = case["why"] as String?
            val expected =
                if (why ==
                    null
                ) {
                    Prefix.Reuse(case["kept"].int())
                } else {
                    Prefix.Rebuild(Prefix.Why.entries.first { it.text == why })
                }
            assertEquals(expected, cache(held).plan(feed(wanted)), "${case["name"]}")
            assertEquals(case["kept"].int(), expected.kept)
        }
    }

    @Test
    fun `what is kept is equal and a token is left to feed`() {
        val random = Random(2)
        repeat(1000) {
            val (common, one, other) = List(3) { slots(random) }
            val held = common + one
            val wanted = common + other
            val kept = cache(held).plan(feed(wanted)).kept
            assertEquals(held.take(kept), wanted.take(kept))
            assertTrue(kept == 0 || kept < wanted.size)
            val more = kept + 1
            assertTrue(more >= wanted.size || held.size < more || held.take(more) != wanted.take(more))
        }
    }

    private fun slots(random: Random) =
        List(random.nextInt(8)) { random.nextInt(3) to listOf(null, "a", "b")[random.nextInt(3)] }
}
