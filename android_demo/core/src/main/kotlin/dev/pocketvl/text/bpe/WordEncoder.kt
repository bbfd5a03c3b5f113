package dev.pocketvl.text.bpe

/**
 * The tokens of one word: its bytes, of which the pair of the lowest rank becomes one until no pair is left; of equal
 * pairs the first. See Sennrich et al. 2016, arXiv:1508.07909.
 *
 * Takes O(n log n) for n bytes. For one thread at a time; its arrays are used again for the next word.
 */
internal class WordEncoder(private val bpe: Bpe) {
    private var next = IntArray(64)
    private var previous = IntArray(64)

    /** Pairs that may be merged, by rank, then by place: a binary heap of rank shl 32 or place. */
    private var heap = LongArray(64)
    private var waiting = 0

    /** The word's bytes in UTF-8: the first [byteCount]. */
    var bytes = ByteArray(64)
        private set
    var byteCount = 0
        private set

    /** Its tokens: the first [idCount]. */
    var ids = IntArray(64)
        private set
    var idCount = 0
        private set

    /** The word is [text] from [start] until [end], which is valid Unicode. */
    fun take(text: String, start: Int, end: Int) {
        if (3 * (end - start) > bytes.size) bytes = ByteArray(maxOf(3 * (end - start), 2 * bytes.size))
        byteCount = 0
        var at = start
        while (at < end) {
            val code = text.codePointAt(at)
            at += if (code > 0xffff) 2 else 1
            when {
                code < 0x80 -> add(code)
                code < 0x800 -> add(0xc0 or (code shr 6), code)
                code < 0x10000 -> add(0xe0 or (code shr 12), code shr 6, code)
                else -> add(0xf0 or (code shr 18), code shr 12, code shr 6, code)
            }
        }
    }

    /** Makes [ids] of [bytes]. */
    fun merge() {
        reserve(byteCount)
        var count = 0
        for (i in 0 until byteCount) {
            val id = bpe.byteIds[bytes[i].toInt() and 0xff]
            if (id < 0) continue // the tokenizers library leaves out what a vocabulary lacks, too
            ids[count] = id
            previous[count] = count - 1
            next[count] = count + 1
            count++
        }
        waiting = 0
        for (i in 0 until count - 1) offer(i, i + 1)
        while (waiting > 0) {
            val best = pop()
            val place = best.toInt()
            val rank = (best ushr 32).toInt()
            val right = if (ids[place] < 0) count else next[place]
            // Merges beside it may have changed the pair since.
            if (right == count || bpe.merges.rank(ids[place], ids[right]) != rank) continue
            ids[place] = bpe.merges.result(rank)
            ids[right] = GONE
            next[place] = next[right]
            if (next[place] < count) {
                previous[next[place]] = place
                offer(place, next[place])
            }
            if (previous[place] >= 0) offer(previous[place], place)
        }
        idCount = 0
        for (i in 0 until count) if (ids[i] != GONE) ids[idCount++] = ids[i]
    }

    private fun add(lead: Int) {
        bytes[byteCount++] = lead.toByte()
    }

    private fun add(lead: Int, second: Int) {
        add(lead)
        add(0x80 or (second and 0x3f))
    }

    private fun add(lead: Int, second: Int, third: Int) {
        add(lead, second)
        add(0x80 or (third and 0x3f))
    }

    private fun add(lead: Int, second: Int, third: Int, fourth: Int) {
        add(lead, second, third)
        add(0x80 or (fourth and 0x3f))
    }

    private fun reserve(count: Int) {
        if (count <= ids.size) return
        val size = maxOf(count, 2 * ids.size)
        ids = IntArray(size)
        next = IntArray(size)
        previous = IntArray(size)
    }

    private fun offer(left: Int, right: Int) {
        val rank = bpe.merges.rank(ids[left], ids[right])
        if (rank < 0) return
        if (waiting == heap.size) heap = heap.copyOf(2 * heap.size)
        val entry = rank.toLong() shl 32 or left.toLong()
        var at = waiting++
        while (at > 0) {
            val parent = at - 1 ushr 1
            if (heap[parent] <= entry) break
            heap[at] = heap[parent]
            at = parent
        }
        heap[at] = entry
    }

    private fun pop(): Long {
        val top = heap[0]
        val last = heap[--waiting]
        var at = 0
        while (true) {
            var child = 2 * at + 1
            if (child >= waiting) break
            if (child + 1 < waiting && heap[child + 1] < heap[child]) child++
            if (last <= heap[child]) break
            heap[at] = heap[child]
            at = child
        }
        heap[at] = last
        return top
    }

    private companion object {
        const val GONE = -1
    }
}
