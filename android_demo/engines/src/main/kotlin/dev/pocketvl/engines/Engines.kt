package dev.pocketvl.engines

import dev.pocketvl.BundleException
import dev.pocketvl.Engine
import dev.pocketvl.EngineFactory
import dev.pocketvl.Names
import dev.pocketvl.bundle.Bundle

/** Picks the engine that runs a bundle. */
object Engines {
    /** For [dev.pocketvl.PocketVL.load]: opens the engine of a bundle's target. */
    @JvmField
    val forTarget: EngineFactory = EngineFactory { bundle, threads -> forTarget(bundle, threads) }

    /**
     * The engine for the bundle's target. Nothing is loaded yet, and the classes of the other target's library are not
     * touched, so an app may ship one of the two.
     *
     * [threads]: of onnxruntime's or ExecuTorch's pool; null leaves the choice to them.
     *
     * Throws [BundleException] for a target that runs elsewhere, and [dev.pocketvl.EngineException] for a number of
     * threads that cannot be meant or where the app lacks the library.
     */
    @JvmStatic
    @JvmOverloads
    fun forTarget(bundle: Bundle, threads: Int? = null): Engine =
        when (val target = bundle.manifest.target) {
            Names.ONNX -> OnnxEngine.open(bundle, threads)
            Names.EXECUTORCH -> ExecuTorchEngine.open(bundle, threads)
            else -> throw BundleException("${bundle.folder} is a bundle for '$target', which does not run here.")
        }
}
