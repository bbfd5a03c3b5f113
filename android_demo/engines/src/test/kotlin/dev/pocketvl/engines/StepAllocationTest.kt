package dev.pocketvl.engines

import com.sun.management.ThreadMXBean
import dev.pocketvl.Matrix
import dev.pocketvl.Names
import dev.pocketvl.engines.onnx.DecoderGraph
import dev.pocketvl.engines.onnx.Graph
import dev.pocketvl.engines.onnx.HeadGraph
import dev.pocketvl.engines.onnx.Runtime
import java.lang.management.ManagementFactory
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.test.Test
import kotlin.test.assertEquals

/** What a token takes of the Java heap beside what onnxruntime's classes take for a run of the same graph. */
class StepAllocationTest {
    private val threads = ManagementFactory.getThreadMXBean() as ThreadMXBean
    private val bundle = EngineCases.bundle("onnx-int4")
    private val manifest = bundle.manifest
    private val text = manifest.geometry.text
    private val runtime = Runtime(1)

    @Test
    fun `a step of the decoder allocates nothing of its own`() {
        val graph = graph(Names.TEXT_DECODER)
        val decoder = DecoderGraph(graph, manifest)
        val tensors =
            mapOf(
                Names.EMBEDDINGS to graph.tensor(floats(text.hiddenSize), 1, 1, text.hiddenSize),
                Names.ROPE_COS to graph.tensor(floats(text.headDim), 1, text.headDim),
                Names.ROPE_SIN to graph.tensor(floats(text.headDim), 1, text.headDim),
                Names.SEQLENS_K to graph.tensor(ints(0), 1),
                Names.TOTAL_SEQUENCE_LENGTH to graph.tensor(ints(1)),
            )
        val result = graph.tensor(floats(text.hiddenSize), 1, 1, text.hiddenSize)
        val inputs = tensors + decoder.cache.past
        val outputs = decoder.cache.present + (Names.HIDDEN to result)
        val alone = allocated { graph.run(inputs, outputs) }
        val embeddings = wave(1, text.hiddenSize, 0.05f, 1)
        val rope = wave(1, text.headDim, 1f, 2)
        val hidden = Matrix(1, text.hiddenSize)
        assertEquals(alone, allocated { decoder.run(embeddings, rope, rope, 0, hidden) })
        decoder.close()
    }

    @Test
    fun `a row of logits allocates nothing of its own`() {
        val graph = graph(Names.LM_HEAD)
        val head = HeadGraph(graph, text)
        val inputs = mapOf(Names.HIDDEN to graph.tensor(floats(text.hiddenSize), 1, 1, text.hiddenSize))
        val outputs = mapOf(Names.LOGITS to graph.tensor(floats(text.vocabSize), 1, 1, text.vocabSize))
        val alone = allocated { graph.run(inputs, outputs) }
        val hidden = wave(1, text.hiddenSize, 0.5f, 4)
        val logits = Matrix(1, text.vocabSize)
        assertEquals(alone, allocated { head.run(hidden, logits) })
        head.close()
    }

    private fun graph(name: String) = Graph(runtime, bundle, manifest.entries(name)[0])

    /** Bytes of one call, the least of many: the first ones load classes. */
    private fun allocated(action: () -> Unit): Long {
        val id = Thread.currentThread().id
        return List(CALLS) {
            val before = threads.getThreadAllocatedBytes(id)
            action()
            threads.getThreadAllocatedBytes(id) - before
        }.min()
    }

    private fun floats(count: Int) =
        ByteBuffer.allocateDirect(count * Float.SIZE_BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer()

    private fun ints(value: Int) =
        ByteBuffer
            .allocateDirect(Int.SIZE_BYTES)
            .order(ByteOrder.nativeOrder())
            .asIntBuffer()
            .also { it.put(0, value) }

    private companion object {
        const val CALLS = 200
    }
}
