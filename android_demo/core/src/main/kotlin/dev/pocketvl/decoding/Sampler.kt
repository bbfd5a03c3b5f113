package dev.pocketvl.decoding

import dev.pocketvl.EngineException
import dev.pocketvl.Matrix
import dev.pocketvl.UsageException
import kotlin.math.exp

/** [ids] that may be drawn, in no order that means anything, and their [probabilities]. */
class Candidates(val ids: IntArray, val probabilities: DoubleArray)

/**
 * Chooses the next token from logits: repetition penalty, temperature, top_k, top_p, in that order; the same [seed]
 * draws the same tokens.
 *
 * [temperature] 0 takes the likeliest token (the lowest id among equals). [topK] 0 and [topP] 1 limit nothing. A
 * sampler is for one answer at a time. Throws [UsageException] for values that cannot be meant.
 */
open class Sampler(
    private val temperature: Double = 0.0,
    private val topK: Int = 0,
    private val topP: Double = 1.0,
    private val repetitionPenalty: Double = 1.0,
    seed: Long? = null,
) {
    init {
        usable(temperature.isFinite() && temperature >= 0) {
            "temperature must be 0 (greedy) or more, not $temperature."
        }
        usable(topK >= 0) { "top_k must be 0 (no limit) or more, not $topK." }
        usable(topP > 0 && topP <= 1) { "top_p must lie above 0 and not above 1 (no limit), not $topP." }
        usable(repetitionPenalty.isFinite() && repetitionPenalty > 0) {
            "repetition_penalty must be above 0, 1 being none, not $repetitionPenalty."
        }
        usable(seed == null || seed >= 0) { "seed must be 0 or more, not $seed." }
    }

    private val random = SplitMix64(seed ?: System.nanoTime())
    private val isPenalizing = repetitionPenalty != 1.0
    private val penalized = IdSet()
    private val ranked = RankedIds(1)
    private var weights = DoubleArray(0) // of all ids, used where top_k does not limit them

    /** The next token's id, one of [candidates] drawn by its probability. Arguments and exceptions are those. */
    open fun sample(logits: Matrix, row: Int, seen: TokenList, never: IntArray): Int {
        select(logits, row, seen, never)
        return when {
            temperature == 0.0 -> ranked.id(0)
            isLimited(logits.columns) -> ranked.id(drawn(ranked.size) { ranked.score(it) })
            else -> drawn(logits.columns) { weights[it] }
        }
    }

    /**
     * What may be drawn.
     *
     * [logits]: of which [row] (V,) counts. [seen]: ids of prompt and answer so far, for the penalty. [never]: ids that
     * are not drawn, whatever their logits, ascending. Throws [EngineException] if the logits are not numbers to choose
     * by.
     */
    fun candidates(logits: Matrix, row: Int, seen: TokenList, never: IntArray): Candidates {
        select(logits, row, seen, never)
        if (temperature == 0.0) return Candidates(intArrayOf(ranked.id(0)), doubleArrayOf(1.0))
        val isLimited = isLimited(logits.columns)
        val ids = if (isLimited) IntArray(ranked.size) { ranked.id(it) } else IntArray(logits.columns) { it }
        val mass = DoubleArray(ids.size) { if (isLimited) ranked.score(it) else weights[it] }
        val kept = ids.indices.filter { mass[it] > 0 }
        val total = mass.sum()
        return Candidates(
            IntArray(kept.size) { ids[kept[it]] },
            DoubleArray(kept.size) { mass[kept[it]] / total },
        )
    }

    /** Whether top_k or top_p leave out some of [count] ids. */
    private fun isLimited(count: Int): Boolean = topK in 1 until count || topP < 1

    /** Leaves in [ranked] the likeliest id (greedy), or what limits leave; in [weights] all ids where there is none. */
    private fun select(logits: Matrix, row: Int, seen: TokenList, never: IntArray) {
        checkNumbers(logits, row, never)
        if (isPenalizing) penalized.addAll(seen, logits.columns)
        if (temperature == 0.0 || topK in 1 until logits.columns) {
            rank(logits, row, seen, never, if (temperature == 0.0) 1 else topK)
            if (temperature == 0.0) return
            ranked.sortBestFirst()
            val total = ranked.toWeights(temperature)
            if (topP < 1) ranked.keepMass(topP * total)
        } else {
            val total = weigh(logits, row, seen, never)
            if (topP < 1) rankMass(logits.columns, total)
        }
    }

    private fun checkNumbers(logits: Matrix, row: Int, never: IntArray) {
        val values = logits.values
        val from = row * logits.columns
        var best = Float.NEGATIVE_INFINITY
        forEachAllowed(logits.columns, never) { id -> best = maxOf(best, values[from + id]) }
        var top = best // not a number if any is not
        for (id in never) if (id in 0 until logits.columns) top = maxOf(top, values[from + id])
        if (top.isNaN() || top.isInfinite()) {
            throw EngineException(
                "The decoder's largest logit is $top; the artifact is damaged or overflows on this device: open the" +
                    " bundle with Verify.ALWAYS to see which.",
            )
        }
        if (best == Float.NEGATIVE_INFINITY) {
            throw EngineException(
                "The decoder's logits leave no token of the vocabulary; the artifact is damaged: open the bundle with" +
                    " Verify.ALWAYS to see which file.",
            )
        }
    }

    /** Offers all ids to [ranked], which keeps [most]. */
    private fun rank(logits: Matrix, row: Int, seen: TokenList, never: IntArray, most: Int) {
        val values = logits.values
        val from = row * logits.columns
        ranked.clear(most)
        if (!isPenalizing) {
            forEachAllowed(logits.columns, never) { id -> ranked.offer(values[from + id].toDouble(), id) }
            return
        }
        forEachAllowed(logits.columns, never) { id ->
            if (id !in penalized) ranked.offer(values[from + id].toDouble(), id)
        }
        forEachPenalized(seen, never) { id -> ranked.offer(penalty(values[from + id]), id) }
    }

    /** Fills [weights] for all ids, never drawn ones with 0; returns their sum. */
    private fun weigh(logits: Matrix, row: Int, seen: TokenList, never: IntArray): Double {
        val count = logits.columns
        val values = logits.values
        val from = row * count
        if (weights.size < count) weights = DoubleArray(count)
        weights.fill(Double.NEGATIVE_INFINITY)
        forEachAllowed(count, never) { id -> weights[id] = values[from + id].toDouble() }
        if (isPenalizing) forEachPenalized(seen, never) { id -> weights[id] = penalty(values[from + id]) }
        var best = Double.NEGATIVE_INFINITY
        for (id in 0 until count) best = maxOf(best, weights[id])
        var total = 0.0
        for (id in 0 until count) {
            weights[id] = exp((weights[id] - best) / temperature)
            total += weights[id]
        }
        return total
    }

    /** Leaves in [ranked] what top_p leaves of [weights]. */
    private fun rankMass(count: Int, total: Double) {
        // All ids below this weigh less than 1 - top_p together: no need to sort them. The best weighs 1.
        val least = minOf((1 - topP) / count * total, 1.0)
        ranked.clear(count)
        for (id in 0 until count) if (weights[id] >= least) ranked.offer(weights[id], id)
        ranked.sortBestFirst()
        ranked.keepMass(topP * total)
    }

    /** Calls [block] once for each id of [seen] that may be drawn, and empties [penalized]. */
    private inline fun forEachPenalized(seen: TokenList, never: IntArray, block: (Int) -> Unit) {
        for (index in 0 until seen.size) {
            val id = seen[index]
            if (penalized.remove(id) && never.binarySearch(id) < 0) block(id)
        }
    }

    /** Less likely than before (a penalty above 1), whatever the sign of the score. */
    private fun penalty(score: Float): Double {
        val changed = if (score < 0) score * repetitionPenalty else score / repetitionPenalty
        return if (score == Float.NEGATIVE_INFINITY) changed else changed.coerceIn(-Double.MAX_VALUE, Double.MAX_VALUE)
    }

    /** An index below [count], drawn by its weight. */
    private inline fun drawn(count: Int, weight: (Int) -> Double): Int {
        var total = 0.0
        var last = 0
        for (index in 0 until count) {
            total += weight(index)
            if (weight(index) > 0) last = index
        }
        var left = random.nextDouble() * total
        for (index in 0 until last) {
            left -= weight(index)
            if (left < 0) return index
        }
        return last
    }

    private inline fun usable(isUsable: Boolean, message: () -> String) {
        if (!isUsable) throw UsageException(message())
    }
}
