package dev.pocketvl.decoding.speculation

import dev.pocketvl.decoding.TokenList

/** Lengths of a match, the longest first. */
internal val NGRAMS = intArrayOf(8, 4, 2)

/** The last [ngram] tokens were there before; [follows] is the index of what came after them then. */
internal class Match(val ngram: Int, val follows: Int)

/**
 * Prompt lookup: what followed the same tokens earlier, in the prompt or in the answer, may follow again.
 *
 * After "Prompt Lookup Decoding" (A. Saxena, 2023), with the longest match of several lengths. Holds the tokens of
 * prompt and answer, and where each run of [NGRAMS] tokens ended last. Each token costs an entry of a table for each
 * length, however many there are before it.
 *
 * [never]: ids that are not drafted, such as placeholders of images.
 */
internal class NgramIndex(tokenIds: IntArray, never: IntArray) {
    private val tokens = TokenList(tokenIds.size + 64)
    private val never = never.sortedArray()
    private val ends = Array(NGRAMS.size) { RunTable(tokens, NGRAMS[it]) }

    init {
        for (token in tokenIds) add(token)
    }

    /** The next token is known; so is what follows the runs that ended before it. */
    fun add(token: Int) {
        for (table in ends) if (tokens.size >= table.ngram) table.put(tokens.size)
        tokens.add(token)
    }

    /** The longest run of [NGRAMS] tokens that has an earlier like, the latest of those. */
    fun match(): Match? {
        for (table in ends) {
            val follows = if (tokens.size >= table.ngram) table.find(tokens.size) else 0
            if (follows > 0) return Match(table.ngram, follows)
        }
        return null
    }

    /**
     * At most [length] tokens that followed; where they reach the end, they go on with themselves.
     *
     * They end before an id that is never drafted.
     */
    fun draft(match: Match, length: Int): IntArray {
        val drafts = IntArray(length)
        for (step in 0 until length) {
            val index = match.follows + step
            val token = if (index < tokens.size) tokens[index] else drafts[index - tokens.size]
            if (never.binarySearch(token) >= 0) return drafts.copyOf(step)
            drafts[step] = token
        }
        return drafts
    }
}

/**
 * Where each run of [ngram] of the [tokens] ended last: a hash table of ends, whose keys are the tokens before them.
 *
 * An end is the index after a run's last token, so never 0, which marks a free place.
 */
private class RunTable(private val tokens: TokenList, val ngram: Int) {
    private var places = IntArray(256)
    private var count = 0

    fun put(end: Int) {
        if (2 * (count + 1) > places.size) grow()
        val place = placeOf(places, end)
        if (places[place] == 0) count++
        places[place] = end
    }

    /** The end that was put last for the run that ends at [end]; 0 if there is none. */
    fun find(end: Int): Int = places[placeOf(places, end)]

    private fun grow() {
        val larger = IntArray(places.size * 2)
        for (end in places) if (end > 0) larger[placeOf(larger, end)] = end
        places = larger
    }

    /** Where the run that ends at [end] is, or the free place for it; linear probing. */
    private fun placeOf(places: IntArray, end: Int): Int {
        val mask = places.size - 1
        var place = hash(end) and mask
        while (places[place] != 0 && !equal(places[place], end)) place = place + 1 and mask
        return place
    }

    private fun hash(end: Int): Int {
        var hash = 0
        for (index in end - ngram until end) hash = (hash xor tokens[index]) * -0x61c88647
        return hash xor (hash ushr 16)
    }

    private fun equal(end: Int, other: Int): Boolean {
        for (back in 1..ngram) if (tokens[end - back] != tokens[other - back]) return false
        return true
    }
}
