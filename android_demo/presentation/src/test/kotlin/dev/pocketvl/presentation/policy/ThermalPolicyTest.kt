package dev.pocketvl.presentation.policy

import dev.pocketvl.presentation.platform.Thermal
import dev.pocketvl.presentation.platform.ThermalStatus
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.CsvSource
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue

class ThermalPolicyTest {
    @ParameterizedTest
    @CsvSource(
        "NONE, , COOL",
        "NONE, NaN, COOL",
        "NONE, 0.74, COOL",
        "NONE, 0.75, WARM",
        "NONE, 0.9, HOT",
        "NONE, 1.0, VERY_HOT",
        "NONE, 1.7, VERY_HOT",
        "LIGHT, , WARM",
        "LIGHT, 0.95, HOT",
        "MODERATE, 0.1, HOT",
        "SEVERE, , VERY_HOT",
        "CRITICAL, , TOO_HOT",
        "EMERGENCY, , TOO_HOT",
        "SHUTDOWN, , TOO_HOT",
    )
    fun `the worse of status and headroom counts`(status: ThermalStatus, headroom: Float?, expected: Warmth) {
        assertEquals(expected, ThermalPolicy.warmth(Thermal(status, headroom, null)))
    }

    @Test
    fun `frames come less often before threads become fewer`() {
        val paces = Warmth.entries.map { ThermalPolicy.pace(it, cores = 8) }
        val intervals = paces.dropLast(1).map { assertNotNull(it.frameInterval) }
        assertEquals(intervals.sorted().distinct(), intervals)
        assertNull(paces.last().frameInterval)
        assertEquals(listOf(null, null, null, 2, 2), paces.map { it.threads })
    }

    @Test
    fun `a small processor keeps a thread`() {
        assertEquals(1, ThermalPolicy.pace(Warmth.TOO_HOT, cores = 1).threads)
    }

    @Test
    fun `warmth rises at once and falls step by step after calm`() {
        val follower = WarmthFollower()
        assertEquals(Warmth.VERY_HOT, follower.observe(reading(ThermalStatus.SEVERE), 0))
        assertEquals(Warmth.VERY_HOT, follower.observe(reading(ThermalStatus.NONE), 1_000))
        assertEquals(Warmth.VERY_HOT, follower.observe(reading(ThermalStatus.NONE), 30_999))
        assertEquals(Warmth.HOT, follower.observe(reading(ThermalStatus.NONE), 31_000))
        assertEquals(Warmth.HOT, follower.observe(reading(ThermalStatus.NONE), 60_999))
        assertEquals(Warmth.WARM, follower.observe(reading(ThermalStatus.NONE), 61_000))
    }

    @Test
    fun `a warm reading begins the calm anew`() {
        val follower = WarmthFollower()
        follower.observe(reading(ThermalStatus.MODERATE), 0)
        follower.observe(reading(ThermalStatus.NONE), 1_000)
        follower.observe(reading(ThermalStatus.MODERATE), 20_000)
        follower.observe(reading(ThermalStatus.NONE), 21_000)
        assertEquals(Warmth.HOT, follower.observe(reading(ThermalStatus.NONE), 50_000))
        assertTrue(follower.observe(reading(ThermalStatus.NONE), 51_000) < Warmth.HOT)
    }

    private fun reading(status: ThermalStatus) = Thermal(status, null, null)
}
