package dev.pocketvl.text.bpe

/** The bytes of each token, by id; an id may have none. */
internal class Vocabulary(private val pool: ByteArray, private val starts: IntArray, private val sizes: IntArray) {
    /** Above the largest id. */
    val end: Int get() = sizes.size

    /** Ids that have a token. */
    val count: Int = sizes.count { it >= 0 }

    operator fun contains(id: Int): Boolean = id in sizes.indices && sizes[id] >= 0

    /** A copy; null for an id without a token. */
    fun bytes(id: Int): ByteArray? = if (id in this) pool.copyOfRange(starts[id], starts[id] + sizes[id]) else null
}

/** Tokens as they are read, found by their bytes: an open hash table over one pool of bytes. */
internal class VocabularyBuilder {
    private var pool = ByteArray(1 shl 12)
    private var used = 0
    private var starts = IntArray(1 shl 10)
    private var sizes = IntArray(1 shl 10) { -1 }
    private var slots = IntArray(1 shl 11)
    private var end = 0
    private var count = 0

    /** What [put] returns. */
    enum class Outcome { ADDED, ID_TAKEN, TOKEN_TWICE }

    /** The first [size] of [bytes] as the token [id], which is not negative. */
    fun put(bytes: ByteArray, size: Int, id: Int): Outcome {
        growTo(id)
        if (sizes[id] >= 0) return Outcome.ID_TAKEN
        if (find(bytes, size) >= 0) return Outcome.TOKEN_TWICE
        if (used + size > pool.size) pool = pool.copyOf(maxOf(2 * pool.size, used + size))
        bytes.copyInto(pool, used, 0, size)
        starts[id] = used
        sizes[id] = size
        used += size
        end = maxOf(end, id + 1)
        count++
        if (2 * count > slots.size) rehash() else insert(id)
        return Outcome.ADDED
    }

    /** The id of the first [size] of [bytes], -1 if there is none. */
    fun find(bytes: ByteArray, size: Int): Int {
        var slot = hash(bytes, 0, size) and slots.size - 1
        while (slots[slot] != 0) {
            val id = slots[slot] - 1
            if (sizes[id] == size && isAt(starts[id], bytes, size)) return id
            slot = slot + 1 and slots.size - 1
        }
        return -1
    }

    fun build() = Vocabulary(pool.copyOf(used), starts.copyOf(end), sizes.copyOf(end))

    private fun growTo(id: Int) {
        val old = sizes.size
        if (id < old) return
        starts = starts.copyOf(maxOf(2 * old, id + 1))
        sizes = sizes.copyOf(starts.size)
        sizes.fill(-1, old)
    }

    private fun rehash() {
        slots = IntArray(2 * slots.size)
        for (id in 0 until end) if (sizes[id] >= 0) insert(id)
    }

    private fun insert(id: Int) {
        var slot = hash(pool, starts[id], sizes[id]) and slots.size - 1
        while (slots[slot] != 0) slot = slot + 1 and slots.size - 1
        slots[slot] = id + 1
    }

    private fun isAt(start: Int, bytes: ByteArray, size: Int): Boolean {
        for (i in 0 until size) if (pool[start + i] != bytes[i]) return false
        return true
    }
}

/** Well mixed in its low bits. */
internal fun hash(bytes: ByteArray, start: Int, size: Int): Int {
    var hash = size
    for (i in start until start + size) hash = hash * 31 + bytes[i]
    hash *= -0x61c88647
    return hash xor (hash ushr 15)
}
