package dev.pocketvl.engines.executorch

import dev.pocketvl.EngineException

/**
 * ExecuTorch's pool of [threads] threads, 0 for its own choice.
 *
 * The pool is the process's. Loading a file with another number replaces it, and methods that are loaded go on to use
 * the one that was freed: so that is refused.
 */
internal class ThreadPool(threads: Int?) {
    val threads: Int = threads ?: 0

    /** Counts a user of the pool. Throws [EngineException] where users are there that asked for another number. */
    fun acquire() =
        synchronized(lock) {
            if (users > 0 && current != threads) {
                throw EngineException(
                    "Another model of this process runs ExecuTorch with ${called(current)} and cannot go on with" +
                        " ${called(threads)}; load all models with the same number, or close the other one first.",
                )
            }
            current = threads
            users++
        }

    fun release() = synchronized(lock) { users-- }

    private fun called(count: Int) =
        when (count) {
            0 -> "its own number of threads"
            1 -> "1 thread"
            else -> "$count threads"
        }

    // State of the process's native pool, which has none of its own to ask.
    private companion object {
        val lock = Any()
        var current = 0
        var users = 0
    }
}
