package dev.pocketvl.engines.executorch

import dev.pocketvl.Matrix
import dev.pocketvl.Names
import dev.pocketvl.TextEngine
import dev.pocketvl.bundle.Bundle
import dev.pocketvl.decoding.KVCache
import dev.pocketvl.engines.DirectMatrix
import dev.pocketvl.engines.checkDecoderInputs
import dev.pocketvl.engines.checkHead
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Tensor

/** A [TextEngine] over text_decoder.pte, whose cache is the graph's own state. */
internal class ExecuTorchText(private val bundle: Bundle, private val pool: ThreadPool) : TextEngine {
    private val manifest = bundle.manifest
    private val text = manifest.geometry.text
    private val decoder = manifest.entries(Names.TEXT_DECODER)[0]
    private val head = manifest.entries(Names.LM_HEAD)[0]
    private var file: LoadedFile? = null
    private var step: Step? = null // tokens come one by one
    private var call: HeadCall? = null // mostly of one row
    override val cache = KVCache()

    override fun decode(embeddings: Matrix, ropeCos: Matrix, ropeSin: Matrix, cachePosition: Int, hidden: Matrix) {
        checkDecoderInputs(manifest, embeddings, ropeCos, ropeSin, cachePosition, hidden)
        val loaded = loaded()
        cache.truncate(cachePosition)
        val count = embeddings.rows
        val prepared = step?.takeIf { it.rows == count } ?: Step(count).also { step = it }
        prepared.embeddings.fill(embeddings)
        prepared.ropeCos.fill(ropeCos)
        prepared.ropeSin.fill(ropeSin)
        prepared.position.put(0, cachePosition.toLong())
        loaded.run(decoder.method, prepared.inputs, prepared.shape, hidden)
    }

    override fun logits(hidden: Matrix, logits: Matrix) {
        checkHead(manifest, hidden, logits)
        head(loaded(), hidden, logits)
    }

    override fun close() {
        cache.truncate(0)
        step = null
        call = null
        file?.close()
        file = null
    }

    private fun loaded(): LoadedFile =
        file ?: open().also {
            // The head first: loading the decoder first and then the head peaks 0.4 GB higher for the 2B model.
            try {
                head(it, Matrix(1, text.hiddenSize), Matrix(1, text.vocabSize))
            } catch (failure: Exception) {
                it.close()
                throw failure
            }
            file = it
        }

    private fun open() =
        LoadedFile(
            bundle.file(decoder.file),
            pool,
            listOf(decoder.method, head.method),
            mapOf(
                Names.GET_MAX_SEQ_LEN to manifest.prefillChunk,
                Names.GET_MAX_CONTEXT_LEN to manifest.maxContext,
                Names.GET_VOCAB_SIZE to text.vocabSize,
            ),
        )

    private fun head(loaded: LoadedFile, hidden: Matrix, logits: Matrix) {
        var from = 0 // a range with a step would be two objects per token
        while (from < hidden.rows) {
            val until = minOf(from + Names.MAX_HEAD_ROWS, hidden.rows)
            val count = until - from
            val prepared = call?.takeIf { it.hidden.rows == count } ?: HeadCall(count).also { call = it }
            prepared.hidden.fill(hidden, from, until)
            loaded.run(head.method, prepared.inputs, prepared.shape, logits, from)
            from = until
        }
    }

    /** Memory of the decoder's inputs for so many tokens. */
    private inner class Step(val rows: Int) {
        val embeddings = DirectMatrix(rows, text.hiddenSize)
        val ropeCos = DirectMatrix(rows, text.headDim)
        val ropeSin = DirectMatrix(rows, text.headDim)
        val position = Tensor.allocateLongBuffer(1)
        val inputs: Array<EValue> =
            arrayOf(
                value(embeddings.buffer, 1, rows, text.hiddenSize),
                value(ropeCos.buffer, rows, text.headDim),
                value(ropeSin.buffer, rows, text.headDim),
                EValue.from(Tensor.fromBlob(position, longArrayOf(1))),
            )
        val shape = longArrayOf(1, rows.toLong(), text.hiddenSize.toLong()) // of the output
    }

    /** Memory of the head's input for so many tokens. */
    private inner class HeadCall(rows: Int) {
        val hidden = DirectMatrix(rows, text.hiddenSize)
        val inputs: Array<EValue> = arrayOf(value(hidden.buffer, 1, rows, text.hiddenSize))
        val shape = longArrayOf(1, rows.toLong(), text.vocabSize.toLong()) // of the output
    }
}
