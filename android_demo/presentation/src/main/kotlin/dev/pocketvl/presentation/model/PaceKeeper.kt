package dev.pocketvl.presentation.model

import dev.pocketvl.presentation.platform.Thermal
import dev.pocketvl.presentation.platform.ThermalReader
import dev.pocketvl.presentation.policy.Pace
import dev.pocketvl.presentation.policy.ThermalPolicy
import dev.pocketvl.presentation.policy.Warmth
import dev.pocketvl.presentation.policy.WarmthFollower
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.withContext

/**
 * Slows the app down as the phone grows warm: live answers look at [pace], the model gets its threads here.
 *
 * [clock]: milliseconds that never go back. [wait]: suspends for milliseconds.
 */
class PaceKeeper(
    private val thermal: ThermalReader,
    private val holder: ModelHolder,
    private val cores: Int,
    private val io: CoroutineDispatcher,
    private val clock: () -> Long,
    private val wait: suspend (Long) -> Unit,
) {
    private val follower = WarmthFollower()
    private val paces = MutableStateFlow(ThermalPolicy.pace(Warmth.COOL, cores))
    private val readings = MutableStateFlow<Thermal?>(null)

    val pace: StateFlow<Pace> = paces.asStateFlow()

    /** The last one; null before the first. */
    val reading: StateFlow<Thermal?> = readings.asStateFlow()

    /** Until it is cancelled; for as long as the app is on the screen. */
    suspend fun run() {
        while (true) {
            look()
            wait(PERIOD)
        }
    }

    internal suspend fun look() {
        val reading = withContext(io) { thermal.read() }
        readings.value = reading
        paces.value = ThermalPolicy.pace(follower.observe(reading, clock()), cores)
        holder.useThreads(paces.value.threads)
    }

    private companion object {
        const val PERIOD = 5_000L // more often, Android may answer NaN
    }
}
