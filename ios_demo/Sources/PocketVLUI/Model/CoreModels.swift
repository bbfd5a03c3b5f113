import Foundation
import PocketVL

/// The runtime's own models.
public struct CoreModels: ModelSource {
    private let engine: EngineFactory
    private let photos: any PhotoReader
    private let stamps: URL

    /// - Parameters:
    ///   - engine: of the bundle's target; see ``PocketVL/PocketVL/load(_:engine:options:)``.
    ///   - stamps: a folder of the app's own, in which is remembered what hashes were found equal.
    public init(engine: @escaping EngineFactory, photos: any PhotoReader, stamps: URL) {
        self.engine = engine
        self.photos = photos
        self.stamps = stamps
    }

    public func inspect(_ folder: URL) async throws -> Manifest {
        try await blocking { try ModelBundle.open(folder, verify: .never).manifest }
    }

    public func verify(
        _ folder: URL, always: Bool, onProgress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void
    ) async throws {
        let stamp = try stamp(folder)
        _ = try await blocking {
            try ModelBundle.open(folder, verify: always ? .always : .stamp, stamps: stamp, onProgress: onProgress)
        }
    }

    public func load(
        _ folder: URL, isFirst: Bool, onPhase: @escaping @Sendable (LoadPhase) -> Void
    ) async throws -> any LoadedModel {
        onPhase(isFirst ? .compiling : .loading)
        let opened = Opened()
        let engine = engine
        let model = try await PocketVL.load(
            folder,
            engine: { (bundle, threads) throws(PocketVLError) in
                let made = try engine(bundle, threads)
                opened.engine = made
                return made
            }, options: LoadOptions(stamps: try stamp(folder)))
        guard let made = opened.engine else { throw PocketVLError.usage("The engine was not opened.") }
        do {
            try await blocking { try Warmup(manifest: model.manifest, engine: made).run(vision: isFirst) }
        } catch {
            try? model.close()
            throw error
        }
        return CoreModel(model, made, photos)
    }

    /// The folder's name, not its path: the path changes when the app is updated.
    private func stamp(_ folder: URL) throws -> URL {
        try FileManager.default.createDirectory(at: stamps, withIntermediateDirectories: true)
        return stamps.appendingPathComponent("\(folder.lastPathComponent).json")
    }
}

/// What blocks for seconds does not belong on the threads that tasks share.
private func blocking<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { done in
        DispatchQueue.global(qos: .userInitiated).async { done.resume(with: Result(catching: work)) }
    }
}

/// The engine of a bundle while it is being loaded.
private final class Opened: @unchecked Sendable {
    private let lock = NSLock()
    private var held: Engine?

    var engine: Engine? {
        get { lock.withLock { held } }
        set { lock.withLock { held = newValue } }
    }
}

/// Loads what would else be loaded by the first question, so that loading is seen as such.
struct Warmup: Sendable {
    let manifest: Manifest
    let engine: Engine

    /// One token through decoder and head, and with `vision` the smallest image through the encoder, which is released
    /// again.
    func run(vision: Bool) throws(PocketVLError) {
        if vision, let patches = manifest.buckets.min() {
            let geometry = manifest.geometry.vision
            let rope = Rope(
                cos: Matrix(rows: patches, columns: geometry.headDim),
                sin: Matrix(rows: patches, columns: geometry.headDim))
            _ = try engine.vision.encode(patches: Matrix(rows: patches, columns: geometry.patchDim), rope: rope)
            engine.vision.release()
        }
        let text = manifest.geometry.text
        let claim = try engine.text.cache.claim()
        defer {
            engine.text.cache.truncate(0)
            claim.release()
        }
        let rope = Rope(cos: Matrix(rows: 1, columns: text.headDim), sin: Matrix(rows: 1, columns: text.headDim))
        var hidden = Matrix(rows: 1, columns: text.hiddenSize)
        var logits = Matrix(rows: 1, columns: text.vocabSize)
        try engine.text.decode(
            embeddings: Matrix(rows: 1, columns: text.hiddenSize), rope: rope, cachePosition: 0, into: &hidden)
        try engine.text.logits(hidden: hidden, into: &logits)
    }
}
