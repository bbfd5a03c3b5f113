import PocketVL

/// Runs bundles for ONNX with onnxruntime's C API.
public enum OnnxEngine {
    /// Both engines; nothing is loaded yet.
    ///
    /// - Parameter threads: of onnxruntime's pool; nil: as many as it thinks best.
    /// - Throws: ``PocketVLError/bundle(_:)`` for another target, ``PocketVLError/engine(_:)`` for a number of threads
    ///   that cannot be meant, or a library without the functions that are needed.
    public static func open(_ bundle: ModelBundle, threads: Int? = nil) throws(PocketVLError) -> Engine {
        try EngineChecks.target(of: bundle, is: Names.onnx)
        try EngineChecks.threads(threads)
        let runtime = try Runtime(threads: threads)
        return Engine(vision: OnnxVision(bundle, runtime), text: OnnxText(bundle, runtime))
    }

    /// Of the onnxruntime that is linked, as "1.29.0".
    public static var runtimeVersion: String { Runtime.version }
}
