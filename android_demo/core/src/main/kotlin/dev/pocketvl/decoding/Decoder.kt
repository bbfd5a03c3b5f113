package dev.pocketvl.decoding

import dev.pocketvl.EngineException
import dev.pocketvl.Matrix
import dev.pocketvl.PromptException
import dev.pocketvl.TextEngine
import dev.pocketvl.TextRope
import dev.pocketvl.bundle.Manifest

/**
 * The embedding table, the rope and the decoder's graph as one: tokens in, hidden states out, in chunks and with image
 * embeddings in their places.
 *
 * Matrices are used again: what a function returns is valid until the next call of any. For one thread at a time, which
 * holds [KVCache.claim].
 */
class Decoder(private val engine: TextEngine, private val table: EmbeddingMap, manifest: Manifest) {
    private val text = manifest.geometry.text
    private val chunk = manifest.prefillChunk
    private val rope = TextRope(text)
    private val embeddings = Rows(text.hiddenSize)
    private val ropeCos = Rows(text.headDim)
    private val ropeSin = Rows(text.headDim)
    private val hidden = Rows(text.hiddenSize)
    private val logits = Rows(text.vocabSize)
    private var more = IntArray(0) // tokens that extend takes
    private var positions = Array(3) { more } // theirs: t, h and w are one array

    /**
     * The hidden states of each chunk (S, hiddenSize), S at most prefillChunk, computed as they are asked for.
     *
     * The feed's token i goes to KV slot i; those before [first] are in their slots already. A chunk border may be
     * inside an image. Throws [PromptException] if the embeddings do not match the placeholders or there is nothing to
     * feed; next() throws [EngineException].
     */
    fun feed(feed: Feed, first: Int = 0): Iterator<Matrix> {
        if (first >= feed.size) throw PromptException("The prompt is empty; build it with PromptEncoder.")
        feed.checkMedia(text.hiddenSize)
        return iterator {
            for (start in first until feed.size step chunk) {
                val end = minOf(start + chunk, feed.size)
                val rows = end - start
                val input = embeddings.of(rows)
                table.gather(feed.tokenIds, start, end, input)
                feed.mediaEmbeddings(start, end, input)
                val result = decode(input, feed.positions, start, start)
                engine.cache.append(feed, start, end)
                yield(result)
            }
        }
    }

    /**
     * Feeds [token] and the [drafts] after it as text after what the KV cache holds, together at most prefillChunk;
     * their hidden states (S, hiddenSize). Throws [EngineException].
     */
    fun extend(token: Int, drafts: IntArray = NO_DRAFTS): Matrix {
        val cache = engine.cache
        val rows = 1 + drafts.size
        if (more.size < rows) {
            more = IntArray(rows)
            val ids = IntArray(rows)
            positions = arrayOf(ids, ids, ids)
        }
        more[0] = token
        drafts.copyInto(more, 1)
        for (row in 0 until rows) positions[0][row] = cache.nextPosition + row
        val input = embeddings.of(rows)
        table.gather(more, 0, rows, input)
        val result = decode(input, positions, 0, cache.size)
        for (row in 0 until rows) cache.append(more[row])
        return result
    }

    /** Goes back to the first [length] slots; the next token is written after them. */
    fun truncate(length: Int) = engine.cache.truncate(length)

    /** (K, hiddenSize) to (K, vocabSize). Throws [EngineException]. */
    fun logits(hidden: Matrix): Matrix = logits.of(hidden.rows).also { engine.logits(hidden, it) }

    /** Positions from index [from] on are those of the rows of [input]. */
    private fun decode(input: Matrix, positions: Array<IntArray>, from: Int, cachePosition: Int): Matrix {
        val cos = ropeCos.of(input.rows)
        val sin = ropeSin.of(input.rows)
        rope.fill(positions, from, cos, sin)
        return hidden.of(input.rows).also { engine.decode(input, cos, sin, cachePosition, it) }
    }

    private companion object {
        val NO_DRAFTS = IntArray(0)
    }
}

/** Matrices of [columns] columns that share their values, so that a smaller one costs nothing new. */
private class Rows(private val columns: Int) {
    private var matrices = arrayOfNulls<Matrix>(0) // by number of rows - 1
    private var values = FloatArray(0)

    fun of(rows: Int): Matrix {
        if (matrices.size < rows) {
            if (rows.toLong() * columns > Int.MAX_VALUE) {
                throw EngineException("$rows rows of $columns numbers are more than an array holds; feed fewer tokens.")
            }
            matrices = arrayOfNulls(rows)
            values = FloatArray(rows * columns)
        }
        return matrices[rows - 1] ?: Matrix(rows, columns, values).also { matrices[rows - 1] = it }
    }
}
