package dev.pocketvl.decoding

import dev.pocketvl.Matrix
import dev.pocketvl.UsageException
import kotlin.math.exp
import kotlin.math.ln

/** Most alternatives that can be noted at a token. */
const val MAX_ALTERNATIVES = 20

/**
 * A token and the natural logarithm of its probability: what the model itself thought, before any sampling setting.
 *
 * [token]: its bytes in UTF-8, maybe part of a character; those of a special token are its name.
 */
class TokenLogprob(val tokenId: Int, val logprob: Double, val token: ByteArray = ByteArray(0))

/**
 * The token that was drawn at one place of an answer, and the likeliest ones there, best first.
 *
 * The drawn token is among the likeliest only where it is one of them.
 */
class Logprobs(
    val tokenId: Int,
    val logprob: Double,
    val token: ByteArray = ByteArray(0),
    val top: List<TokenLogprob> = emptyList(),
) {
    /** The same with the bytes of each token, which [spell] knows. */
    fun spelled(spell: (Int) -> ByteArray): Logprobs =
        Logprobs(tokenId, logprob, spell(tokenId), top.map { TokenLogprob(it.tokenId, it.logprob, spell(it.tokenId)) })
}

/** Throws [UsageException] for a number of alternatives that is not in 0..[MAX_ALTERNATIVES]. */
fun checkLogprobs(count: Int) {
    if (count in 0..MAX_ALTERNATIVES) return
    throw UsageException("logprobs must be 0 (none) to $MAX_ALTERNATIVES alternatives, not $count.")
}

/**
 * log(softmax(logits)) at [token] and at the [count] likeliest ids; of equals the lowest id is first.
 *
 * [logits]: the model's own, of which [row] (V,) counts. [never]: ascending ids without a token, which are no
 * alternatives, though they have their share of the probability.
 */
fun logprobsOf(logits: Matrix, row: Int, token: Int, count: Int, never: IntArray): Logprobs {
    val from = row * logits.columns
    val values = logits.values
    var top = Float.NEGATIVE_INFINITY
    for (id in 0 until logits.columns) top = maxOf(top, values[from + id])
    var sum = 0.0
    for (id in 0 until logits.columns) sum += exp(values[from + id].toDouble() - top)
    val total = top + ln(sum)
    val best = RankedIds(count)
    if (count > 0) {
        forEachAllowed(logits.columns, never) { id ->
            val value = values[from + id]
            if (value > Float.NEGATIVE_INFINITY) best.offer(value.toDouble(), id)
        }
        best.sortBestFirst()
    }
    val likeliest = List(best.size) { TokenLogprob(best.id(it), best.score(it) - total) }
    return Logprobs(token, values[from + token] - total, top = likeliest)
}
