package dev.pocketvl.chat

/** Asked before each image, chunk and token of one answer; set by any thread, for good. */
internal class Cancellation {
    @Volatile
    var isCancelled = false
        private set

    fun cancel() {
        isCancelled = true
    }
}
