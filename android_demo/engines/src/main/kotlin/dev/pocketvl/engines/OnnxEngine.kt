package dev.pocketvl.engines

import dev.pocketvl.Engine
import dev.pocketvl.EngineException
import dev.pocketvl.Names
import dev.pocketvl.bundle.Bundle
import dev.pocketvl.engines.onnx.OnnxText
import dev.pocketvl.engines.onnx.OnnxVision
import dev.pocketvl.engines.onnx.Runtime

/**
 * Runs bundles for ONNX with onnxruntime's Java API: `com.microsoft.onnxruntime:onnxruntime-android` on Android,
 * `com.microsoft.onnxruntime:onnxruntime` elsewhere.
 */
object OnnxEngine {
    /**
     * Both engines; nothing is loaded yet. [threads] null: as many as onnxruntime thinks best.
     *
     * Throws [dev.pocketvl.BundleException] for another target, [EngineException] where the app lacks onnxruntime.
     */
    @JvmStatic
    @JvmOverloads
    fun open(bundle: Bundle, threads: Int? = null): Engine {
        checkTarget(bundle, Names.ONNX)
        checkThreads(threads)
        val runtime =
            try {
                Runtime(threads)
            } catch (missing: LinkageError) {
                throw EngineException(
                    "This bundle needs onnxruntime, which the app lacks or cannot load (${missing.message}); add" +
                        " com.microsoft.onnxruntime:onnxruntime-android to it.",
                    missing,
                )
            }
        return Engine(OnnxVision(bundle, runtime), OnnxText(bundle, runtime))
    }
}
