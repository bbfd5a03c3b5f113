package dev.pocketvl.engines.onnx

import ai.onnxruntime.OnnxTensor
import dev.pocketvl.Matrix
import dev.pocketvl.Names
import dev.pocketvl.bundle.Manifest
import dev.pocketvl.engines.DirectMatrix
import java.io.Closeable
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.IntBuffer

/** The decoder's graph with its cache. It owns [graph]. */
internal class DecoderGraph(private val graph: Graph, manifest: Manifest) : Closeable {
    private val text = manifest.geometry.text
    val cache = GraphCache(graph, text, manifest.maxContext)
    private var call: Call? = null // tokens come one by one

    /** Sizes are as checked. */
    fun run(embeddings: Matrix, ropeCos: Matrix, ropeSin: Matrix, cachePosition: Int, hidden: Matrix) {
        val rows = embeddings.rows
        val prepared = call?.takeIf { it.rows == rows } ?: renewed(rows)
        prepared.embeddings.fill(embeddings)
        prepared.ropeCos.fill(ropeCos)
        prepared.ropeSin.fill(ropeSin)
        prepared.lastSlot.put(0, cachePosition + rows - 1)
        prepared.total.put(0, cachePosition + rows)
        graph.run(prepared.inputs, prepared.outputs)
        prepared.hidden.copyTo(hidden, 0, rows)
    }

    override fun close() {
        call?.close()
        call = null
        graph.close()
        cache.close()
    }

    private fun renewed(rows: Int): Call {
        call?.close()
        call = null
        return Call(rows).also { call = it }
    }

    /** Memory of inputs and outputs for so many tokens. */
    private inner class Call(val rows: Int) : Closeable {
        val embeddings = DirectMatrix(rows, text.hiddenSize)
        val ropeCos = DirectMatrix(rows, text.headDim)
        val ropeSin = DirectMatrix(rows, text.headDim)
        val hidden = DirectMatrix(rows, text.hiddenSize)
        val lastSlot = oneInt()
        val total = oneInt()
        private val own: Map<String, OnnxTensor> =
            mapOf(
                Names.EMBEDDINGS to graph.tensor(embeddings.buffer, 1, rows, text.hiddenSize),
                Names.ROPE_COS to graph.tensor(ropeCos.buffer, rows, text.headDim),
                Names.ROPE_SIN to graph.tensor(ropeSin.buffer, rows, text.headDim),
                Names.SEQLENS_K to graph.tensor(lastSlot, 1),
                Names.TOTAL_SEQUENCE_LENGTH to graph.tensor(total),
            )
        private val result = graph.tensor(hidden.buffer, 1, rows, text.hiddenSize)
        val inputs = own + cache.past
        val outputs = cache.present + (Names.HIDDEN to result)

        override fun close() = (own.values + result).forEach { it.close() }
    }

    private fun oneInt(): IntBuffer =
        ByteBuffer.allocateDirect(Int.SIZE_BYTES).order(ByteOrder.nativeOrder()).asIntBuffer()
}
