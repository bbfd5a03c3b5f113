package dev.pocketvl.presentation.live

import dev.pocketvl.chat.Statistics
import dev.pocketvl.presentation.policy.Warmth

/** What the live screen is doing. */
enum class LivePhase {
    OFF,

    /** No model is ready yet, or another screen still uses it. */
    WAITING,

    /** Until the phone is held still. */
    MOVING,

    /** Until something else is seen. */
    SAME,

    /** Until the time between two answers is over. */
    RESTING,
    ANSWERING,

    /** Until the phone has cooled down. */
    TOO_HOT,
}

/** All that the live screen shows beside the camera's preview. */
data class LiveState(
    val question: String = "",
    val phase: LivePhase = LivePhase.OFF,
    val answer: String = "",
    /** Whether [answer] is of an earlier frame than the one that is being answered. */
    val isOld: Boolean = false,
    val statistics: Statistics? = null,
    val warmth: Warmth = Warmth.COOL,
    /** Why it was switched off, or why the last answer failed. */
    val message: String? = null,
) {
    val isOn: Boolean get() = phase != LivePhase.OFF
    val canStart: Boolean get() = !isOn && question.isNotBlank()
}
