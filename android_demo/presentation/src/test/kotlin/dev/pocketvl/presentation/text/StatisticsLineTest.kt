package dev.pocketvl.presentation.text

import dev.pocketvl.chat.Statistics
import dev.pocketvl.presentation.platform.Memory
import dev.pocketvl.presentation.platform.Thermal
import dev.pocketvl.presentation.platform.ThermalStatus
import java.util.Locale
import kotlin.test.Test
import kotlin.test.assertEquals

class StatisticsLineTest {
    private val numbers = Numbers(Locale.ENGLISH)
    private val statistics =
        Statistics(
            visionSeconds = 1.424,
            imagesEncoded = 1,
            prefillSeconds = 2.0,
            prefillTokens = 300,
            reusedTokens = 40,
            decodeSeconds = 4.0,
            decodeTokens = 63,
            timeToFirstToken = 3.5,
        )

    @Test
    fun `all that was measured is shown`() {
        val memory = Memory(available = 0, total = 0, isLow = false, process = 1_530_000_000)
        val line = statisticsLine(statistics, memory, Thermal(ThermalStatus.NONE, null, 36.25f), numbers)
        val expected =
            listOf(
                Fact.VISION to "1.42",
                Fact.FIRST_TOKEN to "3.50",
                Fact.PREFILL to "150",
                Fact.DECODE to "15.8",
                Fact.TOKENS to "64",
                Fact.REUSED to "40",
                Fact.MEMORY to "1,530",
                Fact.TEMPERATURE to "36.3",
            )
        assertEquals(expected, line)
    }

    @Test
    fun `what says nothing is left out`() {
        val line = statisticsLine(Statistics(timeToFirstToken = 0.5), null, null, numbers)
        assertEquals(listOf(Fact.FIRST_TOKEN to "0.50", Fact.TOKENS to "1"), line)
    }

    @Test
    fun `a phone that does not tell its temperature shows none`() {
        val line = statisticsLine(statistics, null, Thermal(ThermalStatus.NONE, 0.5f, null), numbers)
        assertEquals(emptyList(), line.filter { it.first == Fact.TEMPERATURE })
    }
}
