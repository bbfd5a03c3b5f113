package dev.pocketvl.text.bpe

/**
 * The tokens of words met before; a word drives out another one that falls into its place.
 *
 * Several threads may use it: an entry is never changed, and one that is missed is only made again.
 */
internal class WordCache {
    private class Entry(val bytes: ByteArray, val ids: IntArray)

    private val entries = arrayOfNulls<Entry>(SIZE)

    /** Of the first [size] of [bytes]; null if they are not here. */
    fun find(bytes: ByteArray, size: Int): IntArray? {
        val entry = entries[place(bytes, size)] ?: return null
        if (entry.bytes.size != size) return null
        for (i in 0 until size) if (entry.bytes[i] != bytes[i]) return null
        return entry.ids
    }

    /** The first [count] of [ids] for the first [size] of [bytes]. */
    fun put(bytes: ByteArray, size: Int, ids: IntArray, count: Int) {
        if (size <= MAX_BYTES) entries[place(bytes, size)] = Entry(bytes.copyOf(size), ids.copyOf(count))
    }

    private fun place(bytes: ByteArray, size: Int): Int = hash(bytes, 0, size) and SIZE - 1

    private companion object {
        /** A power of two. */
        const val SIZE = 1 shl 12

        /** Longer words seldom come twice. */
        const val MAX_BYTES = 64
    }
}
