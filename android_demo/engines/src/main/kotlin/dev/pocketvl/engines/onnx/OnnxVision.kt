package dev.pocketvl.engines.onnx

import ai.onnxruntime.OnnxTensor
import dev.pocketvl.Matrix
import dev.pocketvl.Names
import dev.pocketvl.VisionEngine
import dev.pocketvl.bundle.Bundle
import dev.pocketvl.engines.DirectMatrix
import dev.pocketvl.engines.checkImageInputs
import java.io.Closeable

/** A [VisionEngine] over onnx/host_vision_encoder.onnx. */
internal class OnnxVision(private val bundle: Bundle, private val runtime: Runtime) : VisionEngine {
    private val manifest = bundle.manifest
    private var graph: Graph? = null
    private var call: Call? = null // frames of a video are of one size

    @Synchronized
    override fun encode(patches: Matrix, ropeCos: Matrix, ropeSin: Matrix): Matrix {
        checkImageInputs(manifest, patches, ropeCos, ropeSin)
        val loaded =
            graph ?: Graph(runtime, bundle, manifest.entries(Names.VISION_ENCODER)[0]).also { graph = it }
        val prepared = call?.takeIf { it.rows == patches.rows } ?: renewed(loaded, patches.rows)
        prepared.patches.fill(patches)
        prepared.ropeCos.fill(ropeCos)
        prepared.ropeSin.fill(ropeSin)
        loaded.run(prepared.inputs, prepared.outputs)
        val tokens = prepared.embeddings.rows
        return Matrix(tokens, prepared.embeddings.columns).also { prepared.embeddings.copyTo(it, 0, tokens) }
    }

    @Synchronized
    override fun release() {
        call?.close()
        call = null
        graph?.close()
        graph = null
    }

    private fun renewed(graph: Graph, rows: Int): Call {
        call?.close()
        call = null
        return Call(graph, rows).also { call = it }
    }

    /** Memory of inputs and outputs for so many patches. */
    private inner class Call(graph: Graph, val rows: Int) : Closeable {
        private val vision = manifest.geometry.vision
        val patches = DirectMatrix(rows, vision.patchDim)
        val ropeCos = DirectMatrix(rows, vision.headDim)
        val ropeSin = DirectMatrix(rows, vision.headDim)
        val embeddings = DirectMatrix(rows / vision.mergeArea, vision.outputSize)
        val inputs: Map<String, OnnxTensor> =
            mapOf(Names.PATCHES to patches, Names.ROPE_COS to ropeCos, Names.ROPE_SIN to ropeSin)
                .mapValues { (_, memory) -> graph.tensor(memory.buffer, memory.rows, memory.columns) }
        val outputs: Map<String, OnnxTensor> =
            mapOf(Names.IMAGE_EMBEDDINGS to graph.tensor(embeddings.buffer, embeddings.rows, embeddings.columns))

        override fun close() = (inputs.values + outputs.values).forEach { it.close() }
    }
}
