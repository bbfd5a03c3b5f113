package dev.pocketvl.text

/** Token ids as they come. */
internal class IdList {
    private var ids = IntArray(64)

    var size = 0
        private set

    fun add(id: Int) {
        reserve(1)
        ids[size++] = id
    }

    /** The first [count] of [others]. */
    fun add(others: IntArray, count: Int = others.size) {
        reserve(count)
        others.copyInto(ids, size, 0, count)
        size += count
    }

    /** [id] so many times. */
    fun repeat(id: Int, count: Int) {
        reserve(count)
        ids.fill(id, size, size + count)
        size += count
    }

    fun toIntArray(): IntArray = ids.copyOf(size)

    private fun reserve(count: Int) {
        if (size + count > ids.size) ids = ids.copyOf(maxOf(size + count, 2 * ids.size))
    }
}
