package dev.pocketvl.text.bpe

/** Which pairs of tokens become one, and which first: an open hash table over primitive arrays. */
internal class MergeTable(capacity: Int) {
    private val mask = Integer.highestOneBit(maxOf(4, 2 * capacity)) * 2 - 1
    private val keys = LongArray(mask + 1) { NONE }
    private val ranks = IntArray(mask + 1)
    private var results = IntArray(maxOf(1, capacity))
    private var count = 0

    /** The next pair: of a higher rank than all before. False if it is there already. */
    fun add(left: Int, right: Int, result: Int): Boolean {
        val slot = slot(left, right)
        if (keys[slot] != NONE) return false
        keys[slot] = key(left, right)
        ranks[slot] = count
        results[count++] = result
        return true
    }

    /** The lowest is merged first; -1 for a pair that stays. */
    fun rank(left: Int, right: Int): Int {
        val slot = slot(left, right)
        return if (keys[slot] == NONE) -1 else ranks[slot]
    }

    /** The token that the pair of that rank becomes. */
    fun result(rank: Int): Int = results[rank]

    private fun slot(left: Int, right: Int): Int {
        val key = key(left, right)
        val hash = key * -0x61c8864680b583ebL
        var slot = (hash ushr 32).toInt() and mask
        while (keys[slot] != key && keys[slot] != NONE) slot = slot + 1 and mask
        return slot
    }

    private fun key(left: Int, right: Int): Long = left.toLong() shl 32 or right.toLong()

    private companion object {
        const val NONE = -1L
    }
}
