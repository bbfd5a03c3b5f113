package dev.pocketvl.presentation.platform

/**
 * The phone's memory, in bytes.
 *
 * [available]: what the system can give before it ends other apps. [total]: as the phone is sold. [isLow]: whether
 * the system says so itself. [process]: resident bytes of this process, those of native runtimes included.
 */
data class Memory(val available: Long, val total: Long, val isLow: Boolean, val process: Long)

/** Reads the phone's memory; called off the main thread. */
fun interface MemoryReader {
    fun read(): Memory
}
