package dev.pocketvl

import dev.pocketvl.decoding.KVCache
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.concurrent.atomic.AtomicInteger

/**
 * Engines that stand in for native ones: what they compute depends on everything that a real one would look at.
 *
 * A slot's state is a hash of the slot before it, its embedding and its rope; logits are pseudorandom numbers from that
 * state. So a slot that holds something else than it should, or a position that is off by one, changes the answer.
 */
class FakeEngine(private val vocabulary: Int, private val firstSpecial: Int, slots: Int, private val seed: Long = 1) {
    val text = Text(slots)
    val vision = Vision()
    val engine = Engine(vision, text)

    /** Called at the beginning of each vision encode, and of each decode. */
    @Volatile var onEncode: (call: Int) -> Unit = {}

    @Volatile var onDecode: (call: Int) -> Unit = {}

    /** Tokens that are chosen one after the other, whatever the state; then those of the state. */
    @Volatile var script: List<Int> = emptyList()

    /** Likeliest after every 16th state, so that answers end; null: no special token is ever likeliest. */
    @Volatile var eos: Int? = null

    inner class Vision : VisionEngine {
        val encoded = AtomicInteger()
        val released = AtomicInteger()

        override fun encode(patches: Matrix, ropeCos: Matrix, ropeSin: Matrix): Matrix {
            onEncode(encoded.incrementAndGet())
            val result = Matrix(patches.rows / 4, HIDDEN)
            for (row in 0 until result.rows) {
                var hash = seed
                for (patch in 4 * row until 4 * row + 4) {
                    hash = hash(hash(hash(hash, patches, patch), ropeCos, patch), ropeSin, patch)
                }
                write(hash, result, row)
            }
            return result
        }

        override fun release() {
            released.incrementAndGet()
        }
    }

    inner class Text(slots: Int) :
        TextEngine,
        SavesCache {
        override val cache = KVCache()
        val decoded = AtomicInteger()
        val closed = AtomicInteger()

        /** First slot and slots of each call. */
        val fed = ArrayList<Pair<Int, Int>>()
        private val states = LongArray(slots)
        private var said = 0

        override fun decode(embeddings: Matrix, ropeCos: Matrix, ropeSin: Matrix, cachePosition: Int, hidden: Matrix) {
            onDecode(decoded.incrementAndGet())
            cache.truncate(cachePosition)
            fed.add(cachePosition to embeddings.rows)
            for (row in 0 until embeddings.rows) {
                val slot = cachePosition + row
                val before = if (slot == 0) seed else states[slot - 1]
                states[slot] = hash(hash(hash(before, embeddings, row), ropeCos, row), ropeSin, row)
                write(states[slot], hidden, row)
            }
        }

        override fun logits(hidden: Matrix, logits: Matrix) {
            for (row in 0 until hidden.rows) {
                val state = read(hidden, row)
                val scripted = script.getOrNull(said++)
                for (id in 0 until vocabulary) {
                    val noise = (mix(state + id) ushr 40).toFloat() / (1 shl 24)
                    logits.values[row * vocabulary + id] =
                        when {
                            scripted != null -> if (id == scripted) 1f else 0f
                            eos == null && id >= firstSpecial -> -1f
                            id == eos && state and 15 == 0L -> 2f
                            else -> noise
                        }
                }
            }
        }

        fun follow(tokens: List<Int>) {
            script = tokens
            said = 0
        }

        override fun saveCache(length: Int): Map<String, CacheTensor> {
            val bytes = ByteBuffer.allocate(16 * length).order(ByteOrder.LITTLE_ENDIAN)
            val matrix = Matrix(length, 4)
            for (slot in 0 until length) write(states[slot], matrix, slot)
            bytes.asFloatBuffer().put(matrix.values)
            return mapOf("states" to CacheTensor("float32", listOf(length, 4), bytes.array()))
        }

        override fun loadCache(tensors: Map<String, CacheTensor>): Int {
            val tensor = tensors["states"]
            if (tensor == null || tensors.size != 1 || tensor.shape.size != 2 || tensor.shape[1] != 4) {
                throw EngineException("These are tensors of another engine.")
            }
            val matrix = Matrix(tensor.shape[0], 4)
            ByteBuffer
                .wrap(tensor.bytes)
                .order(ByteOrder.LITTLE_ENDIAN)
                .asFloatBuffer()
                .get(matrix.values)
            cache.truncate(0)
            for (slot in 0 until matrix.rows) states[slot] = read(matrix, slot)
            return matrix.rows
        }

        override fun close() {
            closed.incrementAndGet()
            cache.truncate(0)
            states.fill(0)
        }
    }

    companion object {
        const val HIDDEN = 16

        /** 64 bits as four whole numbers, which float32 holds exactly. */
        private fun write(state: Long, matrix: Matrix, row: Int) {
            for (part in 0 until 4) {
                matrix.values[row * matrix.columns + part] = (state ushr (16 * part) and 0xFFFF).toFloat()
            }
        }

        private fun read(matrix: Matrix, row: Int): Long = (0 until 4).sumOf { matrix[row, it].toLong() shl (16 * it) }

        private fun hash(start: Long, matrix: Matrix, row: Int): Long {
            var hash = start
            for (column in 0 until matrix.columns) hash = mix(hash xor matrix[row, column].toRawBits().toLong())
            return hash
        }

        /** Of SplitMix64. */
        private fun mix(value: Long): Long {
            var z = value - 0x61c8864680b583ebL
            z = (z xor (z ushr 30)) * -0x40a7b892e31b1a47L
            z = (z xor (z ushr 27)) * -0x6b2fb644ecceee15L
            return z xor (z ushr 31)
        }
    }
}
