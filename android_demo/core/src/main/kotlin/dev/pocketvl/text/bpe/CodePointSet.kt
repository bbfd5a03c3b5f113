package dev.pocketvl.text.bpe

/** A set of characters out of one of [UnicodeRanges]' tables. */
internal class CodePointSet(table: String) {
    private val starts: IntArray
    private val ends: IntArray

    init {
        val ranges = table.trim().split(' ')
        starts = IntArray(ranges.size) { ranges[it].substringBefore('-').toInt(16) }
        ends = IntArray(ranges.size) { ranges[it].substringAfter('-').toInt(16) }
    }

    operator fun contains(code: Int): Boolean {
        var low = 0
        var high = starts.size - 1
        while (low <= high) {
            val middle = (low + high) ushr 1
            when {
                code < starts[middle] -> high = middle - 1
                code > ends[middle] -> low = middle + 1
                else -> return true
            }
        }
        return false
    }
}
