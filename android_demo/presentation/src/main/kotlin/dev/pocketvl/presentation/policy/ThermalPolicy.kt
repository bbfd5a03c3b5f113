package dev.pocketvl.presentation.policy

import dev.pocketvl.presentation.platform.Thermal
import dev.pocketvl.presentation.platform.ThermalStatus

/** How warm the phone counts as: fewer frames come first, then fewer threads, then a pause. */
enum class Warmth {
    COOL,
    WARM,
    HOT,
    VERY_HOT,

    /** Live answers stop until the phone has cooled down. */
    TOO_HOT,
}

/**
 * What the app does at some warmth. [frameInterval]: milliseconds from the start of one live answer to the next,
 * null for none at all. [threads]: of the runtime, null for as many as it takes by itself.
 */
data class Pace(val warmth: Warmth, val frameInterval: Long?, val threads: Int?)

/** From readings of the phone's temperature to a pace. */
object ThermalPolicy {
    /** By status and headroom, whichever is the worse of the two. */
    fun warmth(thermal: Thermal): Warmth = maxOf(byStatus(thermal.status), byHeadroom(thermal.headroom))

    /** [cores]: of the processor, at least 1. */
    fun pace(warmth: Warmth, cores: Int): Pace =
        when (warmth) {
            Warmth.COOL -> Pace(warmth, 1_000, null)
            Warmth.WARM -> Pace(warmth, 2_000, null)
            Warmth.HOT -> Pace(warmth, 5_000, null)
            Warmth.VERY_HOT -> Pace(warmth, 10_000, maxOf(1, cores / 4))
            Warmth.TOO_HOT -> Pace(warmth, null, maxOf(1, cores / 4))
        }

    private fun byStatus(status: ThermalStatus): Warmth =
        when (status) {
            ThermalStatus.NONE -> Warmth.COOL
            ThermalStatus.LIGHT -> Warmth.WARM
            ThermalStatus.MODERATE -> Warmth.HOT
            ThermalStatus.SEVERE -> Warmth.VERY_HOT
            ThermalStatus.CRITICAL, ThermalStatus.EMERGENCY, ThermalStatus.SHUTDOWN -> Warmth.TOO_HOT
        }

    private fun byHeadroom(headroom: Float?): Warmth =
        when {
            headroom == null || headroom.isNaN() || headroom < 0.75f -> Warmth.COOL
            headroom < 0.9f -> Warmth.WARM
            headroom < 1f -> Warmth.HOT
            else -> Warmth.VERY_HOT
        }
}

/**
 * Follows the readings: up at once, down by one step after [CALM] milliseconds that were cooler all along, so that
 * the pace does not swing with every reading.
 */
class WarmthFollower {
    var warmth: Warmth = Warmth.COOL
        private set
    private var coolerSince: Long? = null

    /** [now]: milliseconds of a clock that never goes back. Returns the warmth that counts. */
    fun observe(thermal: Thermal, now: Long): Warmth {
        val read = ThermalPolicy.warmth(thermal)
        val since = coolerSince
        when {
            read >= warmth -> {
                warmth = read
                coolerSince = null
            }

            since == null -> {
                coolerSince = now
            }

            now - since >= CALM -> {
                warmth = Warmth.entries[warmth.ordinal - 1]
                coolerSince = now
            }
        }
        return warmth
    }

    companion object {
        const val CALM = 30_000L
    }
}
