package dev.pocketvl.presentation.text

import dev.pocketvl.chat.Statistics
import dev.pocketvl.presentation.platform.Memory
import dev.pocketvl.presentation.platform.Thermal

/** The numbers of the line below an answer, in the order shown; those that say nothing are left out. */
fun statisticsLine(
    statistics: Statistics,
    memory: Memory?,
    thermal: Thermal?,
    numbers: Numbers,
): List<Pair<Fact, String>> =
    buildList {
        if (statistics.imagesEncoded > 0) add(Fact.VISION to numbers.significant(statistics.visionSeconds))
        add(Fact.FIRST_TOKEN to numbers.significant(statistics.timeToFirstToken))
        if (statistics.prefillSeconds > 0) add(Fact.PREFILL to numbers.significant(statistics.prefillRate))
        if (statistics.decodeSeconds > 0) add(Fact.DECODE to numbers.significant(statistics.decodeRate))
        add(Fact.TOKENS to numbers.whole(statistics.decodeTokens + 1L))
        if (statistics.reusedTokens > 0) add(Fact.REUSED to numbers.whole(statistics.reusedTokens.toLong()))
        if (memory != null) add(Fact.MEMORY to numbers.megabytes(memory.process))
        thermal?.celsius?.let { add(Fact.TEMPERATURE to numbers.decimal(it.toDouble(), 1)) }
    }
