package dev.pocketvl

import dev.pocketvl.decoding.KVCache
import java.io.Closeable

/** Says who may use a model: one answer at a time, images beside it, and nothing after it was closed. */
internal class ModelGate(private val cache: KVCache) {
    private var isClosed = false // guarded by this, as is the next
    private var encodings = 0

    /** For whoever uses the text engine, until it is closed. Throws [UsageException]. */
    @Synchronized
    fun claim(): Closeable {
        checkOpen()
        return cache.claim()
    }

    /** Runs [block], which uses the vision encoder alone. Throws [UsageException]. */
    inline fun <T> encoding(block: () -> T): T {
        enter()
        try {
            return block()
        } finally {
            leave()
        }
    }

    /** Throws [UsageException] once closed. */
    @Synchronized
    fun checkOpen() {
        if (isClosed) throw UsageException("This model is closed; load it again.")
    }

    /** Runs [free] unless it was closed before. Throws [UsageException] while anything runs. */
    fun close(free: () -> Unit) {
        synchronized(this) {
            if (isClosed) return
            if (encodings > 0) {
                throw UsageException("This model is encoding an image; wait for it, or close the live view first.")
            }
            cache.claim() // for ever
            isClosed = true
        }
        free()
    }

    @Synchronized
    private fun enter() {
        checkOpen()
        encodings++
    }

    @Synchronized
    private fun leave() {
        encodings--
    }
}
