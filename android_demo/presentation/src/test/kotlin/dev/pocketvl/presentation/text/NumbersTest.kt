package dev.pocketvl.presentation.text

import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.CsvSource
import java.util.Locale
import kotlin.test.Test
import kotlin.test.assertEquals

class NumbersTest {
    private val english = Numbers(Locale.ENGLISH)
    private val german = Numbers(Locale.GERMAN)

    @ParameterizedTest
    @CsvSource(
        "0, 0.00",
        "1.424, 1.42",
        "1.425, 1.43",
        "9.994, 9.99",
        "9.995, 10.0",
        "12.74, 12.7",
        "99.94, 99.9",
        "99.95, 100",
        "-0.001, 0.00",
        "NaN, –",
        "Infinity, –",
    )
    fun `three digits say enough`(value: Double, expected: String) {
        assertEquals(expected, english.significant(value))
    }

    @Test
    fun `large numbers are grouped`() = assertEquals("1,652", english.megabytes(1_652_400_000))

    @Test
    fun `German writes a comma`() {
        assertEquals("1,65", german.gigabytes(1_652_000_000))
        assertEquals("1.652", german.megabytes(1_652_000_000))
    }

    @Test
    fun `Arabic digits are those of the locale`() {
        assertEquals("١٢", Numbers(Locale.forLanguageTag("ar-EG")).whole(12))
    }

    @ParameterizedTest
    @CsvSource("0,0,0", "1,0,0", "0,10,0", "999,1000,99", "1000,1000,100", "2000,1000,100", "-1,10,0")
    fun `only what is done is 100 per cent`(done: Long, total: Long, expected: Int) {
        assertEquals(expected, english.percent(done, total))
    }

    @Test
    fun `percent of bytes near the largest number do not overflow`() {
        assertEquals(50, english.percent(Long.MAX_VALUE / 2, Long.MAX_VALUE))
    }
}
