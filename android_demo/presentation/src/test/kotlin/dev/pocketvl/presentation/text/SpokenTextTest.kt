package dev.pocketvl.presentation.text

import kotlin.test.Test
import kotlin.test.assertEquals

class SpokenTextTest {
    private val spoken = SpokenText()

    @Test
    fun `sentences are said once they have ended`() {
        assertEquals("", spoken.next("A cat", isDone = false))
        assertEquals("", spoken.next("A cat.", isDone = false))
        assertEquals("A cat.", spoken.next("A cat. It", isDone = false))
        assertEquals("", spoken.next("A cat. It is 3.5", isDone = false))
        assertEquals("It is 3.5 kg.", spoken.next("A cat. It is 3.5 kg.", isDone = true))
        assertEquals("", spoken.next("A cat. It is 3.5 kg.", isDone = true))
    }

    @Test
    fun `East Asian stops need no space behind them`() {
        assertEquals("一只猫。", spoken.next("一只猫。它", isDone = false))
    }

    @Test
    fun `a shorter answer is another one`() {
        spoken.next("A cat. It", isDone = true)
        assertEquals("Dog.", spoken.next("Dog.", isDone = true))
    }
}
