package dev.pocketvl.decoding.speculation

/** Drafts and the token before them are 2, 4, 8 or 16 rows: few enough sizes that each is soon measured. */
val DRAFT_LENGTHS: List<Int> = listOf(1, 3, 7, 15)

private const val LEAST_GAIN = 1.05 // times the tokens per second of passes over one token
private const val COST_PER_ROW = 0.2 // of one more row, as a share of the first, where nothing was measured yet
private const val GUESSES = 32 // that tell how often guesses are right
private const val DOUBT = 2 // guesses, counted as wrong ones beside those
private const val PASSES = 9 // of each size, whose median counts
private const val FORGET = 256 // passes after which an old measurement counts no longer

/**
 * The length of [DRAFT_LENGTHS] up to [limit] that makes most tokens per second; 0 if none makes more than 1.05 times
 * those of a plain pass.
 *
 * [acceptance]: the probability p that a draft is right if those before it are. A pass with k drafts yields
 * 1 + p + .. + p^k tokens (Leviathan et al. 2023, equation 1). [costs]: of a pass with each draft length, relative to
 * one row.
 */
internal fun draftLength(acceptance: Double, costs: DoubleArray, limit: Int): Int {
    var best = 0
    var most = LEAST_GAIN
    for (index in DRAFT_LENGTHS.indices) {
        val length = DRAFT_LENGTHS[index]
        if (length > limit) break
        var tokens = 0.0
        var power = 1.0
        repeat(length + 1) {
            tokens += power
            power *= acceptance
        }
        val gain = tokens / costs[index]
        if (gain > most) {
            best = length
            most = gain
        }
    }
    return best
}

/** How often guesses were right lately, by the length of the match that made them. */
internal class Acceptance {
    private val guesses = HashMap<Int, ArrayDeque<Boolean>>()

    /** A guess after a match of [ngram] tokens was compared with the token that came. */
    fun note(ngram: Int, wasRight: Boolean) {
        val latest = guesses.getOrPut(ngram) { ArrayDeque(GUESSES) }
        if (latest.size == GUESSES) latest.removeFirst()
        latest.addLast(wasRight)
    }

    /** That the next guess is right; 0 without any so far. */
    fun probability(ngram: Int): Double {
        val latest = guesses[ngram] ?: return 0.0
        return latest.count { it }.toDouble() / (latest.size + DOUBT)
    }
}

/**
 * What passes of decoder and head over 1, 2, 4, 8 and 16 rows take on this machine.
 *
 * An engine has one for life, measured while it answers.
 */
class PassCosts {
    private val timed = Array(DRAFT_LENGTHS.size + 1) { ArrayDeque<Pass>(PASSES) } // of one row, then by draft length
    private var passes = 0

    /** One pass was timed; one of a size between counts for the next larger. */
    fun note(rows: Int, seconds: Double) {
        passes++
        val size = if (rows <= 1) 0 else 1 + DRAFT_LENGTHS.indexOfFirst { rows <= it + 1 }
        if (size == 0 && rows > 1) return // larger than any with drafts
        if (timed[size].size == PASSES) timed[size].removeFirst()
        timed[size].addLast(Pass(passes, seconds))
    }

    /**
     * Seconds with each draft length, relative to one row; null before one row was timed.
     *
     * A size that was not timed lately costs what the next smaller one does, and a little for each row more: so it is
     * tried where it may pay, and tried again when what was measured is old.
     */
    fun relative(): DoubleArray? {
        // Of one row old ones count, too: a plain pass may not have been needed lately.
        val one = median(timed[0].map { it.seconds }) ?: return null
        var rows = 1
        var cost = 1.0
        return DoubleArray(DRAFT_LENGTHS.size) { index ->
            val lately = timed[index + 1].filter { it.number > passes - FORGET }
            val seconds = median(lately.map { it.seconds })
            cost = if (seconds == null) cost + COST_PER_ROW * (DRAFT_LENGTHS[index] + 1 - rows) else seconds / one
            rows = DRAFT_LENGTHS[index] + 1
            cost
        }
    }

    private fun median(values: List<Double>): Double? {
        val sorted = values.sorted()
        val middle = sorted.size / 2
        return when {
            sorted.isEmpty() -> null
            sorted.size % 2 == 1 -> sorted[middle]
            else -> (sorted[middle - 1] + sorted[middle]) / 2
        }
    }

    private class Pass(val number: Int, val seconds: Double)
}
