package dev.pocketvl.decoding

import dev.pocketvl.UsageException
import java.io.Closeable
import java.util.concurrent.atomic.AtomicBoolean

/**
 * What the KV slots of a text engine hold, so that no conversation goes on over another one's keys: token ids, media
 * keys and the rope position after them.
 *
 * An engine has one for life. Its decode() truncates to the slot it writes at, whoever calls it; the caller that
 * knows what was written appends it. So contents are never claimed that are not there. For the thread that holds
 * [claim] alone.
 */
class KVCache {
    private val tokens = TokenList()
    private val nextPositions = TokenList() // after each slot
    private var mediaKeys = arrayOfNulls<String>(64)
    private val inUse = AtomicBoolean()

    /** Slots that hold something. */
    val size: Int get() = tokens.size

    /** Rope position of the token after the last slot; not the number of slots. */
    val nextPosition: Int get() = if (size == 0) 0 else nextPositions[size - 1]

    /** Forgets slots from [length] on. */
    fun truncate(length: Int) {
        if (length >= size) return
        mediaKeys.fill(null, length, size)
        tokens.truncate(length)
        nextPositions.truncate(length)
    }

    /** Says that the next slots hold the feed's [from] until [until]. */
    fun append(feed: Feed, from: Int = 0, until: Int = feed.size) {
        val before = size
        reserve(until - from)
        feed.mediaKeys.copyInto(mediaKeys, before, from, until)
        tokens.addAll(feed.tokenIds, from, until)
        val (t, h, w) = feed.positions
        var reached = if (before == 0) 0 else nextPositions[before - 1]
        for (slot in from until until) {
            reached = maxOf(reached, maxOf(t[slot], h[slot], w[slot]) + 1)
            nextPositions.add(reached)
        }
    }

    /** Says that the next slot holds a token of text, at the next rope position. */
    fun append(token: Int) {
        val position = nextPosition
        reserve(1)
        tokens.add(token)
        nextPositions.add(position + 1)
    }

    /** How many of the first slots hold what [feed] begins with. */
    fun commonPrefix(feed: Feed): Int {
        // Equal ids and keys from slot 0 on have equal rope positions, too: a key is of the pixels as they were
        // encoded, which decide how many rows and columns an image takes.
        val most = minOf(size, feed.size)
        var slot = 0
        while (slot < most && tokens[slot] == feed.tokenIds[slot] && mediaKeys[slot] == feed.mediaKeys[slot]) slot++
        return slot
    }

    /** Which slots can stay for [feed]. */
    fun plan(feed: Feed): Prefix = planPrefill(size, feed.size, commonPrefix(feed))

    /** Held by whoever answers, until it is closed. Throws [UsageException] where another one does. */
    fun claim(): Closeable {
        if (!inUse.compareAndSet(false, true)) {
            throw UsageException("This engine is answering already; wait for it, or cancel it.")
        }
        val isHeld = AtomicBoolean(true)
        return Closeable { if (isHeld.compareAndSet(true, false)) inUse.set(false) }
    }

    /** Runs [block] with the [claim]. */
    inline fun <T> withClaim(block: () -> T): T = claim().use { block() }

    private fun reserve(count: Int) {
        if (size + count > mediaKeys.size) mediaKeys = mediaKeys.copyOf(grown(size + count))
    }
}
