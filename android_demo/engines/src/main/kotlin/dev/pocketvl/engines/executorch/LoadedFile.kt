package dev.pocketvl.engines.executorch

import dev.pocketvl.BundleException
import dev.pocketvl.EngineException
import dev.pocketvl.Matrix
import org.pytorch.executorch.DType
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor
import java.io.Closeable
import java.io.File
import java.nio.FloatBuffer

/**
 * One .pte file; a method is loaded when it first runs. Its methods have memory of their own, so lm_head leaves the
 * decoder's KV cache alone.
 *
 * Throws [EngineException] for a file that ExecuTorch cannot load, [BundleException] where it lacks one of [methods] or
 * says of itself ([constants]: method to value) what the manifest does not.
 */
internal class LoadedFile(
    private val file: File,
    private val pool: ThreadPool,
    methods: List<String>,
    constants: Map<String, Int> = emptyMap(),
) : Closeable {
    private val module: Module
    private var isOpen = true

    init {
        pool.acquire()
        var opened: Module? = null
        try {
            opened = loading { Module.load(file.path, Module.LOAD_MODE_MMAP, pool.threads) }
            check(opened, methods, constants)
        } catch (failure: Exception) {
            opened?.destroy()
            pool.release()
            throw failure
        }
        module = opened
    }

    /** Runs [method] and copies its output, which must be ([shape]), into the rows of [into] from [from] on. */
    fun run(method: String, inputs: Array<EValue>, shape: LongArray, into: Matrix, from: Int = 0) {
        val output = running(method) { module.execute(method, *inputs).singleOrNull() }
        val tensor = output?.takeIf { it.isTensor }?.toTensor()
        if (tensor == null || tensor.dtype() != DType.FLOAT || !tensor.shape().contentEquals(shape)) {
            val found = tensor?.let { "${it.dtype()} ${it.shape().toList()}" } ?: "something else"
            throw EngineException("$method of $file gave $found instead of float32 ${shape.toList()}.")
        }
        val floats = shape.fold(1L) { product, size -> product * size }.toInt()
        // The output is the method's own memory, so it is copied before anything else runs.
        running(method) { tensor.copyDataInto(FloatBuffer.wrap(into.values, from * into.columns, floats)) }
    }

    override fun close() {
        if (!isOpen) return
        isOpen = false
        module.destroy()
        pool.release()
    }

    private fun check(opened: Module, methods: List<String>, constants: Map<String, Int>) {
        val found = loading { opened.getMethods() }.toSet()
        for (method in methods + constants.keys) {
            if (method !in found) throw BundleException("$file lacks the method '$method'; export the bundle again.")
        }
        for ((method, wanted) in constants) {
            val value = loading { opened.execute(method).singleOrNull() }
            val given = value?.takeIf { it.isInt }?.toInt()
            if (given != wanted.toLong()) {
                throw BundleException("$file has $method as $given, but the manifest needs $wanted; export it again.")
            }
        }
    }

    // ExecuTorch throws several kinds of RuntimeException, and documents none.
    private inline fun <T> loading(body: () -> T): T =
        try {
            body()
        } catch (failure: RuntimeException) {
            throw EngineException(
                "ExecuTorch cannot load $file (${said(failure)}). Copy the whole bundle again or export it again.",
                failure,
            )
        }

    private inline fun <T> running(method: String, body: () -> T): T =
        try {
            body()
        } catch (failure: RuntimeException) {
            throw EngineException(
                "$method of $file failed in ExecuTorch (${said(failure)}); copy the whole bundle again or export it" +
                    " again.",
                failure,
            )
        }

    private fun said(failure: RuntimeException) = failure.message?.trim()?.trimEnd('.') ?: failure.javaClass.simpleName
}

/** A tensor over the memory of [buffer], which must be direct and have as many floats as [shape]. */
internal fun value(buffer: FloatBuffer, vararg shape: Int): EValue =
    EValue.from(Tensor.fromBlob(buffer, LongArray(shape.size) { shape[it].toLong() }))
