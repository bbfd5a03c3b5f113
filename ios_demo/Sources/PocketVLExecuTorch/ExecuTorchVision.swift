internal import CPocketVLExecuTorch
import Foundation
import PocketVL

/// A ``VisionEngine`` over vision_encoder.pte.
final class ExecuTorchVision: VisionEngine, @unchecked Sendable {  // what changes is guarded by the lock
    private let lock = NSLock()
    private let bundle: ModelBundle
    private let threads: Int?
    private let entries: [EntryPoint]
    private var loaded: LoadedFile?

    init(_ bundle: ModelBundle, threads: Int?) {
        self.bundle = bundle
        self.threads = threads
        entries = bundle.manifest.entries(Names.visionEncoder)
    }

    func encode(patches: Matrix, rope: Rope) throws(PocketVLError) -> Matrix {
        try EngineChecks.image(bundle.manifest, patches, rope)
        guard let entry = entries.first(where: { $0.patches.map { $0 >= patches.rows } ?? true }) else {
            throw .bundle("\(bundle.folder.path) has no method for \(patches.rows) patches; export it again.")
        }
        lock.lock()
        defer { lock.unlock() }
        let file = try file(entry)
        guard let rows = entry.patches else {
            return try run(file, entry.method, patches, rope, mask: nil)
        }
        // Those that are not there are hidden by a mask.
        var mask = Matrix(rows: 1, columns: rows)
        for column in 0..<patches.rows { mask[0, column] = 1 }
        let padded = Rope(cos: rope.cos.padded(to: rows), sin: rope.sin.padded(to: rows))
        let embeddings = try run(file, entry.method, patches.padded(to: rows), padded, mask: mask)
        return embeddings.slice(0..<patches.rows / bundle.manifest.geometry.vision.mergeArea)
    }

    func release() {
        lock.lock()
        defer { lock.unlock() }
        loaded = nil
    }

    private func run(
        _ file: LoadedFile, _ method: String, _ patches: Matrix, _ rope: Rope, mask: Matrix?
    ) throws(PocketVLError) -> Matrix {
        let vision = bundle.manifest.geometry.vision
        let rows = patches.rows
        var embeddings = Matrix(rows: rows / vision.mergeArea, columns: vision.outputSize)
        let angles = pv_type.floats([rows, vision.headDim])
        let inputs = [.floats([rows, vision.patchDim]), angles, angles] + (mask == nil ? [] : [.floats([rows])])
        let call = MethodCall(method, inputs: inputs, output: [embeddings.rows, embeddings.columns])
        let failure = patches.withUnsafeValues { patches in
            rope.cos.withUnsafeValues { cos in
                rope.sin.withUnsafeValues { sin in
                    call.set(0, patches.baseAddress)
                    call.set(1, cos.baseAddress)
                    call.set(2, sin.baseAddress)
                    guard let mask else { return file.run(call, into: &embeddings) }
                    return mask.withUnsafeValues { mask in
                        call.set(3, mask.baseAddress)
                        return file.run(call, into: &embeddings)
                    }
                }
            }
        }
        if let failure { throw failure }
        return embeddings
    }

    private func file(_ entry: EntryPoint) throws(PocketVLError) -> LoadedFile {
        if let loaded { return loaded }
        let file = try LoadedFile(bundle.file(entry.file), threads: threads, methods: entries.map(\.method))
        loaded = file
        return file
    }
}

extension Matrix {
    /// The same with rows of zeros behind it, `rows` in all.
    fileprivate func padded(to rows: Int) -> Matrix {
        var padded = Matrix(rows: rows, columns: columns)
        padded.withUnsafeMutableValues { target in
            withUnsafeValues { source in _ = target.update(fromContentsOf: source.prefix(target.count)) }
        }
        return padded
    }
}
