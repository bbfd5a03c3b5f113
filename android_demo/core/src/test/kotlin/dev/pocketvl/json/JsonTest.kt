package dev.pocketvl.json

import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.ValueSource
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class JsonTest {
    @Test
    fun `values of every kind`() {
        val text = """ {"a": [1, -2.5e1, true, false, null], "é\u00e9\ud83d\ude00": "\n\/", "b": {}} """
        val expected =
            mapOf(
                "a" to listOf(1L, -25.0, true, false, null),
                "éé😀" to "\n/",
                "b" to emptyMap<String, Any>(),
            )
        assertEquals(expected, Json.parse(text))
        assertEquals(expected, Json.parse(Json.write(expected)))
    }

    @ParameterizedTest
    @ValueSource(
        strings = [
            "", "{", "[1,]", "{\"a\":1,}", "01", "1.", "-", "NaN", "Infinity", "1e999", "'a'", "\"\\x\"", "\"\\ud800\"",
            "\"\\ud800\\u0041\"", "\"\u0001\"", "{\"a\":1,\"a\":2}", "1 2", "tru", "\"\\u12G4\"", "\"\uD800\"", "\"a",
        ],
    )
    fun `what is not JSON is refused`(text: String) {
        assertFailsWith<JsonException> { Json.parse(text) }
    }

    @Test
    fun `deep nesting is refused before the stack ends`() {
        assertFailsWith<JsonException> { Json.parse("[".repeat(100_000)) }
    }
}
