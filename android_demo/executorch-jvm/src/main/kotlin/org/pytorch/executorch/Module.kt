package org.pytorch.executorch

import com.sun.jna.Pointer
import com.sun.jna.ptr.IntByReference
import com.sun.jna.ptr.LongByReference
import com.sun.jna.ptr.PointerByReference
import java.io.Closeable
import java.nio.FloatBuffer

/** An open .pte file. As the real one, it gives outputs in memory that the method's next run writes over. */
class Module private constructor(path: String, threads: Int) : Closeable {
    private val library = PocketVLExecuTorch.library
    private val error = ByteArray(1000)
    private val program: PointerByReference
    private val outputs = HashMap<String, FloatBuffer>()

    init {
        if (threads > 0) check(library.pv_set_threads(threads, error, error.size.toLong()))
        program = PointerByReference(library.pv_open(path, error, error.size.toLong()) ?: throw failure())
    }

    @Synchronized
    fun getMethods(): Array<String> = Array(library.pv_method_count(open())) { library.pv_method_name(open(), it) }

    @Synchronized
    fun loadMethod(methodName: String) = check(library.pv_load(open(), methodName, error, error.size.toLong()))

    @Synchronized
    fun execute(methodName: String, vararg inputs: EValue): Array<EValue> {
        val type = PocketVLExecuTorch.memory(PocketVLExecuTorch.TYPE_BYTES)
        val count = IntByReference()
        check(library.pv_outputs(open(), methodName, type, 1, count, error, error.size.toLong()))
        if (count.value == 1 && type.getInt(0) == PocketVLExecuTorch.NO_TENSOR) return arrayOf(integer(methodName))
        val given = PocketVLExecuTorch.memory(PocketVLExecuTorch.TENSOR_BYTES * inputs.size)
        inputs.forEachIndexed { index, value ->
            PocketVLExecuTorch.write(value.toTensor(), given.share(PocketVLExecuTorch.TENSOR_BYTES * index))
        }
        val largest = Tensor.numel(PocketVLExecuTorch.sizes(type))
        val output = outputs.getOrPut(methodName) { Tensor.allocateFloatBuffer(Math.toIntExact(largest)) }
        val memory =
            com.sun.jna.Native
                .getDirectBufferPointer(output)
        val bytes = output.capacity().toLong() * Float.SIZE_BYTES
        val status =
            library.pv_run(
                open(),
                methodName,
                given,
                inputs.size,
                type,
                memory,
                bytes,
                error,
                error.size.toLong(),
            )
        check(status)
        val shape = PocketVLExecuTorch.sizes(type)
        val view = output.duplicate().limit(Math.toIntExact(Tensor.numel(shape))).slice()
        return arrayOf(EValue.from(Tensor.fromBlob(view, shape)))
    }

    @Synchronized
    fun destroy() = library.pv_close(program)

    override fun close() = destroy()

    private fun integer(method: String): EValue {
        val value = LongByReference()
        check(library.pv_integer(open(), method, value, error, error.size.toLong()))
        return EValue.from(value.value)
    }

    private fun open(): Pointer = checkNotNull(program.value) { "Module has been destroyed" }

    private fun check(status: Int) {
        if (status != 0) throw failure()
    }

    private fun failure() = RuntimeException(String(error, 0, error.indexOf(0)))

    companion object {
        const val LOAD_MODE_FILE = 0
        const val LOAD_MODE_MMAP = 1

        /** The file is mapped whatever [loadMode] says. [numThreads] 0: as many as there are. */
        @JvmStatic
        @Suppress("UNUSED_PARAMETER")
        fun load(modelPath: String, loadMode: Int, numThreads: Int): Module = Module(modelPath, numThreads)
    }
}
