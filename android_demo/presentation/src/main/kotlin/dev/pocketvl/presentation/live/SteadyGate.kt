package dev.pocketvl.presentation.live

import dev.pocketvl.media.CHANGED
import dev.pocketvl.media.Thumbnail

/** What a frame is, beside those before it. */
enum class Sight {
    /** The phone or what it shows moves: a blurred frame is not worth an answer. */
    MOVING,

    /** Still, and what the last question was about. */
    SAME,

    /** Still, and something else. */
    NEW,
}

/**
 * Lets through what is worth a question: [stillFrames] frames one after the other that hardly differ, of something
 * else than what was asked about last. [leastChange]: levels of 0..255, see [Thumbnail.hasChanged].
 */
class SteadyGate(private val stillFrames: Int = 3, private val leastChange: Int = CHANGED) {
    private var previous: Thumbnail? = null
    private var still = 0
    private var asked: Thumbnail? = null

    fun look(frame: Thumbnail): Sight {
        val isStill = previous?.hasChanged(frame, leastChange) == false
        previous = frame
        still = if (isStill) still + 1 else 0
        return when {
            still < stillFrames - 1 -> Sight.MOVING
            asked?.hasChanged(frame, leastChange) == false -> Sight.SAME
            else -> Sight.NEW
        }
    }

    /** The last question was about this. */
    fun asked(frame: Thumbnail) {
        asked = frame
    }

    /** Another question: the same sight is worth it. */
    fun forget() {
        asked = null
    }
}
