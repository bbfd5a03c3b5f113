package dev.pocketvl.engines.onnx

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OnnxValue
import ai.onnxruntime.OrtException
import dev.pocketvl.EngineException
import dev.pocketvl.bundle.Bundle
import dev.pocketvl.bundle.EntryPoint
import java.io.Closeable
import java.nio.FloatBuffer
import java.nio.IntBuffer

/**
 * The .onnx file of an entry point, loaded.
 *
 * Throws [EngineException] for a file that onnxruntime cannot load, [dev.pocketvl.BundleException] for other tensors.
 */
internal class Graph(private val runtime: Runtime, bundle: Bundle, entry: EntryPoint) : Closeable {
    private val file = bundle.file(entry.file)
    private val session = runtime.open(file)

    init {
        closingOnFailure(session) { checkSignature(file, entry, session) }
    }

    /** A tensor over the memory of [buffer], which must be direct and outlive it. */
    fun tensor(buffer: FloatBuffer, vararg shape: Int): OnnxTensor =
        OnnxTensor.createTensor(runtime.environment, buffer, longs(shape))

    /** A tensor over the memory of [buffer], which must be direct and outlive it. */
    fun tensor(buffer: IntBuffer, vararg shape: Int): OnnxTensor =
        OnnxTensor.createTensor(runtime.environment, buffer, longs(shape))

    /** Runs on [inputs], all of them, and writes all outputs into the memory of [outputs]. */
    fun run(inputs: Map<String, OnnxTensor>, outputs: Map<String, OnnxValue>) {
        try {
            session.run(inputs, emptySet(), outputs).close() // which leaves tensors that were given alone
        } catch (failure: OrtException) {
            throw EngineException(
                "$file failed in onnxruntime ${runtime.environment.version} (${Runtime.reason(failure)}); copy the" +
                    " whole bundle again or export it again.",
                failure,
            )
        }
    }

    override fun close() = session.close()

    private fun longs(shape: IntArray) = LongArray(shape.size) { shape[it].toLong() }
}

/** Runs [body], and closes [owned] where it throws. */
internal inline fun <T> closingOnFailure(owned: AutoCloseable, body: () -> T): T {
    var done = false
    try {
        return body().also { done = true }
    } finally {
        if (!done) owned.close()
    }
}
