package dev.pocketvl.presentation.live

import dev.pocketvl.media.thumbnail
import kotlin.test.Test
import kotlin.test.assertEquals

class SteadyGateTest {
    private val gate = SteadyGate()

    private fun look(level: Int) = gate.look(frame(level))

    private fun frame(level: Int) = thumbnail(ByteArray(64 * 48) { level.toByte() }, 64, 48)

    @Test
    fun `three frames that hardly differ are still`() {
        assertEquals(listOf(Sight.MOVING, Sight.MOVING, Sight.NEW, Sight.NEW), listOf(100, 104, 99, 101).map(::look))
    }

    @Test
    fun `movement begins the count anew`() {
        assertEquals(List(4) { Sight.MOVING }, listOf(100, 100, 150, 150).map(::look))
        assertEquals(Sight.NEW, look(150))
    }

    @Test
    fun `what was asked about is the same until it changes`() {
        repeat(3) { look(100) }
        gate.asked(frame(100))
        assertEquals(Sight.SAME, look(105))
        assertEquals(listOf(Sight.MOVING, Sight.MOVING, Sight.NEW), List(3) { look(130) })
    }

    @Test
    fun `a slow drift is a change in the end`() {
        repeat(3) { look(100) }
        gate.asked(frame(100))
        assertEquals(listOf(Sight.SAME, Sight.SAME, Sight.NEW), listOf(104, 108, 112).map(::look))
    }

    @Test
    fun `another question makes the same sight new`() {
        repeat(3) { look(100) }
        gate.asked(frame(100))
        gate.forget()
        assertEquals(Sight.NEW, look(100))
    }
}
