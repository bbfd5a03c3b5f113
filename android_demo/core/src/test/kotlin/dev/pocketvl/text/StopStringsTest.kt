package dev.pocketvl.text

import dev.pocketvl.Golden
import dev.pocketvl.UsageException
import dev.pocketvl.listOf
import dev.pocketvl.members
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class StopStringsTest {
    @Test
    fun `golden texts are cut off where a stop string ends first`() {
        for (case in Golden.read("stop_strings")["cases"].listOf<Any?>().map { it.members() }) {
            val stop = StopStrings(case["stop"].listOf())
            val shown = case["pieces"].listOf<String>().map { stop.push(it) } + stop.finish()
            assertEquals(case["shown"], shown, "$case")
            assertEquals(case["found"], stop.found, "$case")
        }
    }

    @Test
    fun `the pieces do not matter`() {
        val strings = listOf("END", "DO", "\n\n", "aab")
        val text = "aaaENaaENDDOaab\n\nx"
        val expected = StopStrings(strings).let { it.push(text) + it.finish() to it.found }
        for (size in 1..text.length) {
            val stop = StopStrings(strings)
            assertEquals(expected, text.chunked(size).joinToString("") { stop.push(it) } + stop.finish() to stop.found)
        }
    }

    @Test
    fun `an empty string and a fifth one are refused`() {
        assertFailsWith<UsageException> { StopStrings(listOf("a", "")) }
        assertFailsWith<UsageException> { StopStrings(listOf("a", "b", "c", "d", "e")) }
    }
}
