package dev.pocketvl.engines

import dev.pocketvl.Engine
import dev.pocketvl.EngineException
import dev.pocketvl.Names
import dev.pocketvl.bundle.Bundle
import dev.pocketvl.engines.executorch.ExecuTorchText
import dev.pocketvl.engines.executorch.ExecuTorchVision
import dev.pocketvl.engines.executorch.ThreadPool
import org.pytorch.executorch.Module

/**
 * Runs bundles for ExecuTorch with its Java API, `org.pytorch:executorch-android`, which must hold XNNPACK and the
 * llama and quantized operators.
 *
 * That API does not let a method's buffers out, so keys and values cannot be saved: the text engine is no
 * [dev.pocketvl.SavesCache], and a restored conversation is fed again.
 */
object ExecuTorchEngine {
    /**
     * Both engines; nothing is loaded yet.
     *
     * [threads] null: as many as ExecuTorch thinks best. The pool is the process's, and loaded methods hold on to it:
     * while a file of any engine is loaded, loading one with another number of threads throws [EngineException].
     *
     * Throws [dev.pocketvl.BundleException] for another target, [EngineException] where the app lacks ExecuTorch.
     */
    @JvmStatic
    @JvmOverloads
    fun open(bundle: Bundle, threads: Int? = null): Engine {
        checkTarget(bundle, Names.EXECUTORCH)
        checkThreads(threads)
        try {
            Class.forName(Module::class.java.name) // loads the native library
        } catch (missing: LinkageError) {
            throw EngineException(
                "This bundle needs ExecuTorch, which the app lacks or cannot load (${missing.message}); add" +
                    " org.pytorch:executorch-android to it.",
                missing,
            )
        }
        val pool = ThreadPool(threads)
        return Engine(ExecuTorchVision(bundle, pool), ExecuTorchText(bundle, pool))
    }
}
