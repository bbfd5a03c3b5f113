package dev.pocketvl.presentation

import kotlinx.coroutines.CoroutineDispatcher
import kotlin.coroutines.CoroutineContext

/** Runs what is due only when a test says so, in the test's own thread. */
class ManualDispatcher : CoroutineDispatcher() {
    private val due = ArrayDeque<Runnable>()

    override fun dispatch(context: CoroutineContext, block: Runnable) {
        due += block
    }

    /** Until nothing is due any more. */
    fun run() {
        while (due.isNotEmpty()) due.removeFirst().run()
    }
}
