package dev.pocketvl.decoding

/** Token ids in a growing array, none of them boxed. */
class TokenList(capacity: Int = 64) {
    private var ids = IntArray(maxOf(capacity, 1))

    var size = 0
        private set

    constructor(ids: IntArray) : this(ids.size + 64) {
        addAll(ids)
    }

    operator fun get(index: Int): Int {
        if (index !in 0 until size) throw IndexOutOfBoundsException("token $index of $size")
        return ids[index]
    }

    fun add(id: Int) {
        if (size == ids.size) ids = ids.copyOf(grown(size + 1))
        ids[size++] = id
    }

    /** Adds [more] from index [from] until [until]. */
    fun addAll(more: IntArray, from: Int = 0, until: Int = more.size) {
        val count = until - from
        if (size + count > ids.size) ids = ids.copyOf(grown(size + count))
        more.copyInto(ids, size, from, until)
        size += count
    }

    /** Forgets ids from index [length] on. */
    fun truncate(length: Int) {
        size = minOf(size, length)
    }

    fun toArray(): IntArray = ids.copyOf(size)
}

/** Slots to make room for, where [needed] are wanted now. */
internal fun grown(needed: Int): Int = needed + (needed shr 1) + 16
