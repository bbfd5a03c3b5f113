package org.pytorch.executorch

import com.sun.jna.Library
import com.sun.jna.Memory
import com.sun.jna.Native
import com.sun.jna.Pointer
import com.sun.jna.ptr.IntByReference
import com.sun.jna.ptr.LongByReference
import com.sun.jna.ptr.PointerByReference

/** native/include/pocketvl_executorch.h. A size_t is a long on the machines of the tests. */
@Suppress("ktlint:standard:function-naming", "FunctionName")
internal interface PocketVLExecuTorch : Library {
    fun pv_open(path: String, error: ByteArray, errorSize: Long): Pointer?

    fun pv_close(program: PointerByReference)

    fun pv_method_count(program: Pointer): Int

    fun pv_method_name(program: Pointer, index: Int): String

    fun pv_outputs(
        program: Pointer,
        method: String,
        types: Pointer,
        capacity: Int,
        count: IntByReference,
        error: ByteArray,
        errorSize: Long,
    ): Int

    fun pv_load(program: Pointer, method: String, error: ByteArray, errorSize: Long): Int

    fun pv_run(
        program: Pointer,
        method: String,
        inputs: Pointer?,
        inputCount: Int,
        type: Pointer,
        output: Pointer,
        outputSize: Long,
        error: ByteArray,
        errorSize: Long,
    ): Int

    fun pv_integer(program: Pointer, method: String, value: LongByReference, error: ByteArray, errorSize: Long): Int

    fun pv_set_threads(threads: Int, error: ByteArray, errorSize: Long): Int

    companion object {
        /** Bytes of a pv_type, and where in it and in a pv_tensor the parts are. */
        const val TYPE_BYTES = 40L
        const val TENSOR_BYTES = TYPE_BYTES + 8
        const val NO_TENSOR = -1

        val library: PocketVLExecuTorch by lazy {
            val file =
                checkNotNull(System.getProperty("pocketvl.executorch")) { "pocketvl.executorch names no library" }
            Native.load(file, PocketVLExecuTorch::class.java)
        }

        /** Writes a pv_tensor. */
        fun write(tensor: Tensor, to: Pointer) {
            val shape = tensor.shape()
            to.setInt(0, tensor.dtype().code)
            to.setInt(4, shape.size)
            shape.forEachIndexed { axis, size -> to.setInt(8L + 4 * axis, Math.toIntExact(size)) }
            to.setPointer(TYPE_BYTES, Native.getDirectBufferPointer(tensor.data))
        }

        /** The sizes in a pv_type. */
        fun sizes(type: Pointer): LongArray = LongArray(type.getInt(4)) { type.getInt(8L + 4 * it).toLong() }

        fun memory(bytes: Long) = Memory(maxOf(bytes, 1)).also { it.clear() }
    }
}
