package dev.pocketvl.decoding

import dev.pocketvl.Matrix
import dev.pocketvl.TextEngine
import dev.pocketvl.bundle.TextGeometry

/**
 * A decoder whose hidden states are hashes of all that was fed up to their slot, rope included: a token at a wrong
 * slot, at a wrong position or after another one changes everything after it.
 */
class HashingEngine(private val text: TextGeometry, private val maxContext: Int, private val most: Int) : TextEngine {
    override val cache = KVCache()
    var passes = 0
    private val states = IntArray(maxContext + 1)

    override fun decode(embeddings: Matrix, ropeCos: Matrix, ropeSin: Matrix, cachePosition: Int, hidden: Matrix) {
        check(embeddings.rows in 1..most && embeddings.columns == text.hiddenSize && hidden.rows == embeddings.rows)
        check(cachePosition <= cache.size && cachePosition + embeddings.rows <= maxContext)
        check(ropeCos.rows == embeddings.rows && ropeSin.columns == text.headDim)
        cache.truncate(cachePosition)
        passes++
        for (row in 0 until embeddings.rows) {
            var state = states[cachePosition + row] * 31 + 7
            for (column in 0 until text.hiddenSize) state = state * 31 + embeddings[row, column].toRawBits()
            for (column in 0 until text.headDim) {
                state =
                    (state * 31 + ropeCos[row, column].toRawBits()) * 31 + ropeSin[row, column].toRawBits()
            }
            states[cachePosition + row + 1] = state * -0x61c88647
            hidden.values.fill(0f, row * hidden.columns, (row + 1) * hidden.columns)
            hidden.values[row * hidden.columns] = (states[cachePosition + row + 1] ushr 8).toFloat()
        }
    }

    override fun logits(hidden: Matrix, logits: Matrix) {
        check(logits.rows == hidden.rows && logits.columns == text.vocabSize)
        for (row in 0 until hidden.rows) {
            val state = hidden[row, 0].toInt()
            for (id in 0 until logits.columns) {
                logits.values[row * logits.columns + id] = ((state * 31 + id) * -0x61c88647 ushr 12) / 1e5f
            }
        }
    }

    override fun close() = cache.truncate(0)
}
