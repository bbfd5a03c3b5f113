package dev.pocketvl.engines.onnx

import ai.onnxruntime.OnnxTensor
import dev.pocketvl.Matrix
import dev.pocketvl.Names
import dev.pocketvl.bundle.TextGeometry
import dev.pocketvl.engines.DirectMatrix
import java.io.Closeable

/** The head's graph. It owns [graph]. */
internal class HeadGraph(private val graph: Graph, private val text: TextGeometry) : Closeable {
    private var call: Call? = null // mostly of one row

    /** Sizes are as checked. More rows than [Names.MAX_HEAD_ROWS] are several calls: a row of logits is large. */
    fun run(hidden: Matrix, logits: Matrix) {
        var from = 0 // a range with a step would be two objects per token
        while (from < hidden.rows) {
            val until = minOf(from + Names.MAX_HEAD_ROWS, hidden.rows)
            val prepared = call?.takeIf { it.hidden.rows == until - from } ?: renewed(until - from)
            prepared.hidden.fill(hidden, from, until)
            graph.run(prepared.inputs, prepared.outputs)
            prepared.logits.copyTo(logits, from, until)
            from = until
        }
    }

    override fun close() {
        call?.close()
        call = null
        graph.close()
    }

    private fun renewed(rows: Int): Call {
        call?.close()
        call = null
        return Call(rows).also { call = it }
    }

    private inner class Call(rows: Int) : Closeable {
        val hidden = DirectMatrix(rows, text.hiddenSize)
        val logits = DirectMatrix(rows, text.vocabSize)
        val inputs: Map<String, OnnxTensor> =
            mapOf(Names.HIDDEN to graph.tensor(hidden.buffer, 1, rows, text.hiddenSize))
        val outputs: Map<String, OnnxTensor> =
            mapOf(Names.LOGITS to graph.tensor(logits.buffer, 1, rows, text.vocabSize))

        override fun close() = (inputs.values + outputs.values).forEach { it.close() }
    }
}
