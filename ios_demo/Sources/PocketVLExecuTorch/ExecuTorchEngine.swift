import PocketVL

/// Runs bundles for ExecuTorch through the C interface in native/, which needs XNNPACK and the llama and quantized
/// operators.
public enum ExecuTorchEngine {
    /// Both engines; nothing is loaded yet.
    ///
    /// - Parameter threads: of the pool that all files of the process share; nil: as it is, which is what ExecuTorch
    ///   thinks best at first. While a method of any engine is loaded, opening a file with another number throws.
    /// - Throws: ``PocketVLError/bundle(_:)`` for another target, ``PocketVLError/engine(_:)`` for a number of threads
    ///   that cannot be meant.
    public static func open(_ bundle: ModelBundle, threads: Int? = nil) throws(PocketVLError) -> Engine {
        try EngineChecks.target(of: bundle, is: Names.executorch)
        try EngineChecks.threads(threads)
        return Engine(
            vision: ExecuTorchVision(bundle, threads: threads), text: ExecuTorchText(bundle, threads: threads))
    }
}
