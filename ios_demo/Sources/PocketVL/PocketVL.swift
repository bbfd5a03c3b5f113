import Foundation

/// The front door: a bundle's folder in, conversations out.
///
///     let model = try await PocketVL.load(folder, engine: OnnxEngine.open)
///     let chat = try model.chat()
///     for await event in chat.ask([.image(photo), .text("What is this?")]) {
///         if case .text(let piece) = event { print(piece, terminator: "") }
///     }
public enum PocketVL {
    /// Opens the bundle that `pocketvl export` wrote into `folder`. Nothing is downloaded; graphs are loaded when first
    /// needed.
    ///
    /// It takes seconds where hashes are computed, on a thread of its own. Where the task is cancelled meanwhile, what
    /// was loaded in vain is closed again.
    ///
    /// - Parameter engine: makes the engine; each engine has one, such as `OnnxEngine.open`.
    /// - Throws: ``PocketVLError/bundle(_:)``, ``PocketVLError/prompt(_:)`` for a template that cannot be used,
    ///   ``PocketVLError/engine(_:)``, ``PocketVLError/usage(_:)``; `CancellationError`.
    public static func load(
        _ folder: URL, engine: @escaping EngineFactory, options: LoadOptions = LoadOptions()
    ) async throws -> Model {
        try Task.checkCancellation()
        let model = try await WorkerThread(name: "pocketvl load").run { () throws(PocketVLError) in
            try open(folder, engine: engine, options: options)
        }
        if Task.isCancelled {
            try model.close()
            throw CancellationError()
        }
        return model
    }

    /// As ``load(_:engine:options:)``, in the calling thread, which waits: not for a task, nor for the main thread.
    public static func open(
        _ folder: URL, engine: EngineFactory, options: LoadOptions = LoadOptions()
    ) throws(PocketVLError) -> Model {
        if let threads = options.threads, threads < 1 {
            throw .usage("threads must be at least 1, not \(threads).")
        }
        let bundle = try ModelBundle.open(
            folder, verify: options.verify, stamps: options.stamps, onProgress: options.onProgress)
        return try Model(bundle, engine(bundle, options.threads))
    }
}
