package dev.pocketvl.decoding.speculation

import dev.pocketvl.decoding.Proposer

/**
 * Prompt lookup as a proposer for one answer: drafts where they are expected to pay, none elsewhere.
 *
 * Each token is compared with what was, or would have been, the first draft: so it is known at all times how good
 * drafts are, at no cost, and an answer that quotes nothing gets none.
 *
 * [prompt]: the ids before the answer. [never]: ids that are not drafted. [costs]: of this machine's passes, kept from
 * answer to answer. [most]: drafts in one pass.
 */
class PromptLookup(
    prompt: IntArray,
    never: IntArray,
    private val costs: PassCosts,
    private val most: Int = DRAFT_LENGTHS.last(),
) : Proposer {
    private val index = NgramIndex(prompt, never)
    private val acceptance = Acceptance()
    private var match = index.match()
    private var pending = IntArray(0)
    private var compared = 0 // of the pending drafts

    /** Drafts that were fed. */
    var drafted = 0
        private set

    /** Those of them that were right. */
    var accepted = 0
        private set

    override fun add(token: Int) {
        match?.let { held ->
            val guess = index.draft(held, 1)
            if (guess.isNotEmpty()) acceptance.note(held.ngram, guess[0] == token)
        }
        if (compared < pending.size) {
            if (pending[compared] == token) {
                accepted++
                compared++
            } else {
                compared = pending.size
            }
        }
        index.add(token)
        match = index.match()
    }

    override fun propose(limit: Int): IntArray {
        compared = 0
        pending = IntArray(0)
        val held = match ?: return pending
        val relative = costs.relative() ?: return pending
        val length = draftLength(acceptance.probability(held.ngram), relative, minOf(limit, most))
        pending = index.draft(held, length)
        return pending
    }

    override fun notePass(rows: Int, seconds: Double, drafted: Int) {
        costs.note(rows, seconds)
        this.drafted += drafted
    }
}
