package dev.pocketvl.engines.onnx

import ai.onnxruntime.OnnxTensor
import dev.pocketvl.CacheTensor
import dev.pocketvl.Names
import dev.pocketvl.bundle.TextGeometry
import dev.pocketvl.engines.checkCache
import java.io.Closeable
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer

/**
 * Keys and values of the decoder's graph.
 *
 * One buffer of [slots] slots is past and present: GroupQueryAttention then writes in place. It never reads slots
 * after total_sequence_length, whatever is there.
 */
internal class GraphCache(graph: Graph, private val text: TextGeometry, private val slots: Int) : Closeable {
    private val names = tensorNames(Names::pastTensor)
    private val memory = CacheMemory(names.size, Math.multiplyExact(text.numKvHeads * text.headDim, slots))
    private val tensors =
        closingOnFailure(memory) {
            memory.buffers.map { graph.tensor(it, 1, text.numKvHeads, slots, text.headDim) }
        }

    /** The graph's inputs, and its outputs over the same memory. */
    val past: Map<String, OnnxTensor> = names.zip(tensors).toMap()
    val present: Map<String, OnnxTensor> = tensorNames(Names::presentTensor).zip(tensors).toMap()

    /** Copies of the slots 0 until [length], float32 (1, kvHeads, length, headDim). */
    fun save(length: Int): Map<String, CacheTensor> {
        val shape = listOf(1, text.numKvHeads, length, text.headDim)
        val row = length * text.headDim
        return names.zip(memory.buffers).associate { (name, buffer) ->
            val bytes = ByteArray(Math.multiplyExact(text.numKvHeads * row, Float.SIZE_BYTES))
            val copy = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
            for (head in 0 until text.numKvHeads) copy.put(slotsOf(buffer, head, row))
            name to CacheTensor("float32", shape, bytes)
        }
    }

    /** How many slots are given; throws [dev.pocketvl.EngineException] for tensors of another model. */
    fun check(tensors: Map<String, CacheTensor>): Int {
        val whole = listOf(1, text.numKvHeads, slots, text.headDim)
        return checkCache(tensors, names, "float32", whole, slotAxis = 2)
    }

    /** Writes [count] slots, as checked. */
    fun load(tensors: Map<String, CacheTensor>, count: Int) {
        val row = count * text.headDim
        names.zip(memory.buffers).forEach { (name, buffer) ->
            val given = ByteBuffer.wrap(tensors.getValue(name).bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
            for (head in 0 until text.numKvHeads) {
                given.limit((head + 1) * row).position(head * row)
                slotsOf(buffer, head, row).put(given)
            }
        }
    }

    override fun close() {
        tensors.forEach { it.close() }
        memory.close()
    }

    /** The first [floats] floats of a head's slots. */
    private fun slotsOf(buffer: FloatBuffer, head: Int, floats: Int): FloatBuffer {
        val view = buffer.duplicate()
        val start = head * slots * text.headDim
        view.limit(start + floats).position(start)
        return view
    }

    private fun tensorNames(name: (Int, String) -> String): List<String> =
        (0 until text.numLayers).flatMap { layer -> listOf("key", "value").map { name(layer, it) } }
}
