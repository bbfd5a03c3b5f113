package dev.pocketvl.presentation.platform

/** How much the phone holds itself back, in the order of Android's PowerManager.THERMAL_STATUS_NONE (0) to SHUTDOWN (6). */
enum class ThermalStatus {
    NONE,
    LIGHT,
    MODERATE,
    SEVERE,
    CRITICAL,
    EMERGENCY,
    SHUTDOWN,
}

/**
 * [headroom]: PowerManager.getThermalHeadroom, 1 where throttling becomes severe; null where the phone does not tell
 * (before Android 11, or NaN). [celsius]: of the battery, the only temperature that every app may read; null where
 * it is not known.
 */
data class Thermal(val status: ThermalStatus, val headroom: Float?, val celsius: Float?)

/** Reads how warm the phone is; called at most once a second, off the main thread. */
fun interface ThermalReader {
    fun read(): Thermal
}
