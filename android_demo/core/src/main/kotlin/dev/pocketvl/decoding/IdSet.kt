package dev.pocketvl.decoding

/** Ids below a bound, a bit for each. */
internal class IdSet {
    private var bits = LongArray(0)

    /** Adds those of [ids] that lie in 0 until [bound]. */
    fun addAll(ids: TokenList, bound: Int) {
        val words = (bound + 63) / 64
        if (bits.size < words) bits = LongArray(words)
        for (index in 0 until ids.size) {
            val id = ids[index]
            if (id in 0 until bound) bits[id shr 6] = bits[id shr 6] or (1L shl id)
        }
    }

    operator fun contains(id: Int): Boolean {
        val word = id shr 6
        return id >= 0 && word < bits.size && (bits[word] shr id) and 1L != 0L
    }

    /** Whether it was there. */
    fun remove(id: Int): Boolean = (id in this).also { if (it) bits[id shr 6] = bits[id shr 6] and (1L shl id).inv() }

    fun clear() = bits.fill(0)
}
