package dev.pocketvl.decoding

import dev.pocketvl.EngineException
import dev.pocketvl.Matrix
import dev.pocketvl.UsageException

/** A token of an answer; [logprobs] where they were asked for. */
class Choice(val token: Int, val logprobs: Logprobs? = null)

/**
 * What is decided about each token of one answer: which one is drawn, and how likely it was. Asked for the tokens in
 * their order, each of them once.
 *
 * [never]: ids that are not drawn. [logprobs]: alternatives to note at each token; 0 notes nothing. Throws
 * [UsageException] for a number of them out of range.
 */
class Chooser(private val sampler: Sampler, never: IntArray, private val logprobs: Int = 0) {
    private val never = never.sortedArray()

    init {
        checkLogprobs(logprobs)
    }

    /**
     * [logits]: of which [row] (V,) counts. [seen]: ids of prompt and answer so far. Throws [EngineException] if the
     * logits are not numbers to choose by.
     */
    fun choose(logits: Matrix, row: Int, seen: TokenList): Choice {
        val token = sampler.sample(logits, row, seen, never)
        return Choice(token, if (logprobs > 0) logprobsOf(logits, row, token, logprobs, never) else null)
    }
}
