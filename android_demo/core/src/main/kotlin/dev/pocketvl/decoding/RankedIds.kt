package dev.pocketvl.decoding

import kotlin.math.exp

/**
 * The [most] ids of highest score among those offered, in any order; of equal scores the lowest ids.
 *
 * A heap whose root is the worst of those kept, in arrays that are used again: an offer that is no better costs one
 * comparison. An id of score -infinity is not kept.
 */
internal class RankedIds(private var most: Int) {
    private var scores = DoubleArray(minOf(most, 64))
    private var ids = IntArray(minOf(most, 64))

    var size = 0
        private set

    fun id(rank: Int): Int = ids[rank]

    fun score(rank: Int): Double = scores[rank]

    /** Forgets all; from now on keeps [most]. */
    fun clear(most: Int) {
        this.most = most
        size = 0
    }

    fun offer(score: Double, id: Int) {
        if (size == most) {
            if (most == 0 || score < scores[0] || (score == scores[0] && id > ids[0])) return
            scores[0] = score
            ids[0] = id
            sink(0, size)
        } else if (score > Double.NEGATIVE_INFINITY) {
            if (size == ids.size) {
                ids = ids.copyOf(minOf(grown(size + 1), most))
                scores = scores.copyOf(ids.size)
            }
            scores[size] = score
            ids[size] = id
            rise(size++)
        }
    }

    /** Puts the best at rank 0. No more offers until [clear]. */
    fun sortBestFirst() {
        for (end in size - 1 downTo 1) {
            swap(0, end)
            sink(0, end)
        }
    }

    /** Turns sorted scores into weights exp((score - best) / temperature); returns their sum. */
    fun toWeights(temperature: Double): Double {
        val best = scores[0]
        var sum = 0.0
        for (rank in 0 until size) {
            scores[rank] = exp((scores[rank] - best) / temperature)
            sum += scores[rank]
        }
        return sum
    }

    /** Keeps of sorted weights the fewest that reach [mass] together, and none of weight 0. */
    fun keepMass(mass: Double) {
        var before = 0.0
        var kept = 0
        while (kept < size && before < mass && scores[kept] > 0) before += scores[kept++]
        size = kept
    }

    private fun rise(from: Int) {
        var at = from
        while (at > 0 && isWorse(at, (at - 1) / 2)) {
            swap(at, (at - 1) / 2)
            at = (at - 1) / 2
        }
    }

    private fun sink(from: Int, end: Int) {
        var at = from
        while (true) {
            var child = 2 * at + 1
            if (child >= end) return
            if (child + 1 < end && isWorse(child + 1, child)) child++
            if (!isWorse(child, at)) return
            swap(child, at)
            at = child
        }
    }

    private fun isWorse(one: Int, other: Int): Boolean =
        scores[one] < scores[other] || (scores[one] == scores[other] && ids[one] > ids[other])

    private fun swap(one: Int, other: Int) {
        val score = scores[one]
        val id = ids[one]
        scores[one] = scores[other]
        ids[one] = ids[other]
        scores[other] = score
        ids[other] = id
    }
}

/** Calls [block] for 0 until [count] without the ascending ids [never], in their order. */
internal inline fun forEachAllowed(count: Int, never: IntArray, block: (Int) -> Unit) {
    var from = 0
    for (index in 0..never.size) {
        val until = if (index < never.size) minOf(never[index], count) else count
        for (id in from until until) block(id)
        from = maxOf(from, until + 1)
    }
}
