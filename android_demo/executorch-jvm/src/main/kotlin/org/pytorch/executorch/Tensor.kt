package org.pytorch.executorch

import java.nio.Buffer
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import java.nio.LongBuffer

/** A tensor over a direct buffer, which it does not copy. */
abstract class Tensor private constructor(private val sizes: LongArray) {
    internal abstract val data: Buffer

    fun shape(): LongArray = sizes.copyOf()

    fun numel(): Long = numel(sizes)

    abstract fun dtype(): DType

    open fun getDataAsFloatArray(): FloatArray = throw IllegalStateException("no tensor of float32")

    open fun copyDataInto(dst: FloatBuffer): Unit = throw IllegalStateException("no tensor of float32")

    private class Float32(private val floats: FloatBuffer, sizes: LongArray) : Tensor(sizes) {
        override val data: Buffer get() = floats

        override fun dtype() = DType.FLOAT

        override fun getDataAsFloatArray() = FloatArray(floats.capacity()).also { floats.duplicate().clear().get(it) }

        override fun copyDataInto(dst: FloatBuffer) {
            dst.put(floats.duplicate().clear())
        }
    }

    private class Int64(override val data: LongBuffer, sizes: LongArray) : Tensor(sizes) {
        override fun dtype() = DType.INT64
    }

    companion object {
        @JvmStatic
        fun allocateFloatBuffer(numElements: Int): FloatBuffer = bytes(numElements, Float.SIZE_BYTES).asFloatBuffer()

        @JvmStatic
        fun allocateLongBuffer(numElements: Int): LongBuffer = bytes(numElements, Long.SIZE_BYTES).asLongBuffer()

        @JvmStatic
        fun fromBlob(data: FloatBuffer, shape: LongArray): Tensor {
            check(data, data.order(), shape)
            return Float32(data, shape.copyOf())
        }

        @JvmStatic
        fun fromBlob(data: LongBuffer, shape: LongArray): Tensor {
            check(data, data.order(), shape)
            return Int64(data, shape.copyOf())
        }

        @JvmStatic
        fun numel(shape: LongArray): Long = shape.fold(1L, Math::multiplyExact)

        private fun bytes(count: Int, size: Int) =
            ByteBuffer.allocateDirect(Math.multiplyExact(count, size)).order(ByteOrder.nativeOrder())

        // What the real class refuses.
        private fun check(data: Buffer, order: ByteOrder, shape: LongArray) {
            require(shape.all { it >= 0 }) { "Shape elements must be non negative" }
            require(numel(shape) == data.capacity().toLong()) {
                "Inconsistent tensor data capacity:${data.capacity()} and shape capacity:${numel(shape)}"
            }
            require(data.isDirect) { "Data buffer must be direct" }
            require(order == ByteOrder.nativeOrder()) { "Data buffer must have native byte order" }
        }
    }
}
