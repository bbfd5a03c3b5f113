package dev.pocketvl.json

import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.ValueSource
import java.math.BigInteger
import java.nio.charset.CharacterCodingException
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

    @Test
    fun `integers beyond 64 bits are kept, and those of thousands of digits refused`() {
        val large = BigInteger.TEN.pow(30).negate()
        assertEquals(
            listOf(large, Long.MAX_VALUE, Long.MIN_VALUE),
            Json.parse("[$large, ${Long.MAX_VALUE}, ${Long.MIN_VALUE}]"),
        )
        assertEquals("[$large]", Json.write(listOf(large)))
        assertEquals(BigInteger("9".repeat(4300)), Json.parse("9".repeat(4300)))
        assertEquals(BigInteger("-" + "9".repeat(4300)), Json.parse("-" + "9".repeat(4300)))
        assertFailsWith<JsonException> { Json.parse("9".repeat(4301)) }
        assertEquals(0.0, Json.parse("1e-999"))
    }

    @Test
    fun `bytes that are not UTF-8 are refused, as is a mark before the text`() {
        assertEquals("é😀", Json.parse("\"é😀\"".toByteArray()))
        val odd =
            listOf(
                listOf(0xFF),
                listOf(0xC0, 0x80),
                listOf(0xE2, 0x82),
                listOf(0xED, 0xA0, 0x80),
                listOf(0xF5, 0x80, 0x80, 0x80),
            )
        for (bytes in odd) {
            val quoted = byteArrayOf(34) + bytes.map { it.toByte() } + 34
            assertFailsWith<CharacterCodingException> { Json.parse(quoted) }
        }
        assertFailsWith<JsonException> { Json.parse("\ufeff{}".toByteArray()) }
    }
}
