package dev.pocketvl.decoding

import dev.pocketvl.EngineException
import dev.pocketvl.Matrix

/** Guesses the tokens that follow, so that one pass of the decoder can check several at once. */
interface Proposer {
    /** The next token of the answer is known. */
    fun add(token: Int)

    /** At most [limit] drafts of what follows the tokens so far, maybe none. */
    fun propose(limit: Int): IntArray

    /** A pass of decoder and head over [rows] tokens took [seconds]; [drafted] of them were drafts. */
    fun notePass(rows: Int, seconds: Double, drafted: Int)
}

/**
 * Token after token, without end; what follows a token is computed only when it is asked for.
 *
 * [hidden]: the last prompt token's hidden state (1, hiddenSize). [prompt]: the ids before the answer, which the KV
 * cache holds. [most]: tokens that the answer may have, beyond which nothing is drafted. Whoever reads the tokens
 * decides where the answer stops. next() throws [EngineException].
 *
 * Drafts change no token: each is chosen from the logits after the tokens before it, in their order. A draft that was
 * not chosen is taken out of the KV cache again.
 */
fun generate(
    decoder: Decoder,
    chooser: Chooser,
    hidden: Matrix,
    prompt: IntArray,
    most: Int,
    proposer: Proposer? = null,
): Iterator<Choice> = Generation(decoder, chooser, hidden, prompt, most, proposer)

private class Generation(
    private val decoder: Decoder,
    private val chooser: Chooser,
    hidden: Matrix,
    prompt: IntArray,
    most: Int,
    private val proposer: Proposer?,
) : Iterator<Choice> {
    private val seen = TokenList(prompt)
    private val limit = prompt.size.toLong() + most // tokens of prompt and answer
    private var hidden: Matrix? = hidden // of the prompt, until its logits are wanted
    private var logits: Matrix? = null
    private var drafts = NONE
    private var row = 0 // of the logits, to choose from next

    override fun hasNext(): Boolean = true

    override fun next(): Choice {
        val rows = logits ?: hidden?.let(decoder::logits) ?: pass()
        hidden = null
        val choice = chooser.choose(rows, row, seen)
        seen.add(choice.token)
        proposer?.add(choice.token)
        val goesOn = row < drafts.size && choice.token == drafts[row]
        row++
        logits = if (goesOn) rows else null
        return choice
    }

    /** Logits after the newest token and after each draft that follows it. */
    private fun pass(): Matrix {
        decoder.truncate(seen.size - 1) // drafts that were not chosen
        row = 0
        drafts = proposer?.propose((limit - seen.size - 1).coerceIn(0, Int.MAX_VALUE.toLong()).toInt()) ?: NONE
        val began = System.nanoTime()
        val logits = decoder.logits(decoder.extend(seen[seen.size - 1], drafts))
        proposer?.notePass(logits.rows, (System.nanoTime() - began) / 1e9, drafts.size)
        return logits
    }

    private companion object {
        val NONE = IntArray(0)
    }
}
