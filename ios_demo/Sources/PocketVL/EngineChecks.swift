/// What every engine refuses, before native code sees it. All throw ``PocketVLError/engine(_:)`` unless they say
/// otherwise.
package enum EngineChecks {
    /// Native pools take any number, and a process without the memory for them dies silently.
    private static let maxThreads = 256
    private static let otherCache = "These keys and values are of another model; feed the conversation again."

    /// For an engine that runs bundles of one target. Throws ``PocketVLError/bundle(_:)``.
    package static func target(of bundle: ModelBundle, is target: String) throws(PocketVLError) {
        if !bundle.manifest.target.isExactly(target) {
            throw .bundle("\(bundle.folder.path) is a bundle for \(bundle.manifest.target), not for \(target).")
        }
    }

    /// For an engine's pool; nil is the engine's own choice.
    package static func threads(_ threads: Int?) throws(PocketVLError) {
        if let threads, !(1...maxThreads).contains(threads) {
            throw .engine("\(threads) threads were asked for; give 1..\(maxThreads), one a core is best.")
        }
    }

    /// For ``VisionEngine/encode(patches:rope:)``.
    package static func image(_ manifest: Manifest, _ patches: Matrix, _ rope: Rope) throws(PocketVLError) {
        let vision = manifest.geometry.vision
        let (count, largest) = (patches.rows, manifest.buckets.last ?? 0)
        if count < 1 || !count.isMultiple(of: vision.mergeArea) || count > largest {
            throw .engine(
                "An image of \(count) patches was given; this bundle takes multiples of \(vision.mergeArea) up to"
                    + " \(largest). Resize it first.")
        }
        try expect("patches", patches, rows: count, columns: vision.patchDim)
        try expect("rope.cos", rope.cos, rows: count, columns: vision.headDim)
        try expect("rope.sin", rope.sin, rows: count, columns: vision.headDim)
    }

    /// For ``TextEngine/decode(embeddings:rope:cachePosition:into:)``.
    package static func decoder(
        _ manifest: Manifest, _ embeddings: Matrix, _ rope: Rope, cachePosition: Int, _ hidden: Matrix
    ) throws(PocketVLError) {
        let text = manifest.geometry.text
        let count = embeddings.rows
        if count < 1 || count > manifest.prefillChunk {
            throw .engine("\(count) tokens were given at once; this bundle takes 1..\(manifest.prefillChunk).")
        }
        if cachePosition < 0 || cachePosition > manifest.maxContext - count {
            throw .engine(
                "KV slots \(cachePosition)..\(Saturating.sum(cachePosition, count - 1)) lie outside the context of"
                    + " \(manifest.maxContext) tokens.")
        }
        try expect("embeddings", embeddings, rows: count, columns: text.hiddenSize)
        try expect("rope.cos", rope.cos, rows: count, columns: text.headDim)
        try expect("rope.sin", rope.sin, rows: count, columns: text.headDim)
        try expect("hidden", hidden, rows: count, columns: text.hiddenSize)
    }

    /// For ``TextEngine/logits(hidden:into:)``.
    package static func head(_ manifest: Manifest, _ hidden: Matrix, _ logits: Matrix) throws(PocketVLError) {
        let text = manifest.geometry.text
        let rows = max(hidden.rows, 1)
        try expect("hidden", hidden, rows: rows, columns: text.hiddenSize)
        try expect("logits", logits, rows: rows, columns: text.vocabSize)
    }

    /// For ``SavesCache/saveCache(length:)``.
    package static func savedSlots(_ manifest: Manifest, _ length: Int) throws(PocketVLError) {
        if length < 0 || length > manifest.maxContext {
            throw .engine("\(length) KV slots cannot be saved; the context is of \(manifest.maxContext) tokens.")
        }
    }

    /// For ``SavesCache/loadCache(_:)``: how many slots are given.
    ///
    /// There must be a tensor of `dtype` for each of `wholes`, a name and the shape with the most slots, and no other,
    /// with the same number of slots, at `slotAxis`, in all.
    package static func cache(
        _ tensors: [String: CacheTensor], wholes: [(name: String, shape: [Int])], dtype: String, slotAxis: Int
    ) throws(PocketVLError) -> Int {
        guard let first = wholes.first, let shape = tensors[first.name]?.shape, shape.indices.contains(slotAxis),
            (0...first.shape[slotAxis]).contains(shape[slotAxis]), tensors.count == wholes.count
        else { throw .engine(otherCache) }
        let count = shape[slotAxis]
        for (name, whole) in wholes {
            var wanted = whole
            wanted[slotAxis] = count
            let bytes = wanted.reduce(dtype.isExactly("float16") ? 2 : 4, Saturating.product)
            guard let tensor = tensors[name], tensor.dtype.isExactly(dtype), tensor.shape == wanted,
                tensor.bytes.count == bytes
            else { throw .engine(otherCache) }
        }
        return count
    }

    private static func expect(_ name: String, _ matrix: Matrix, rows: Int, columns: Int) throws(PocketVLError) {
        if matrix.rows != rows || matrix.columns != columns {
            throw .engine("\(name) must be (\(rows), \(columns)), not (\(matrix.rows), \(matrix.columns)).")
        }
    }
}
