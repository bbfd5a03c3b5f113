import PocketVL

/// A ``TextEngine`` over text_decoder.pte, whose cache is the graph's own state; it can save its cache.
final class ExecuTorchText: SavesCache, @unchecked Sendable {  // for one task at a time, which holds the cache's claim
    let cache = KVCache()
    private let bundle: ModelBundle
    private let threads: Int?
    private var loaded: LoadedFile?
    private var manifest: Manifest { bundle.manifest }
    private var text: TextGeometry { bundle.manifest.geometry.text }

    init(_ bundle: ModelBundle, threads: Int?) {
        self.bundle = bundle
        self.threads = threads
    }

    func decode(
        embeddings: Matrix, rope: Rope, cachePosition: Int, into hidden: inout Matrix
    ) throws(PocketVLError) {
        try EngineChecks.decoder(manifest, embeddings, rope, cachePosition: cachePosition, hidden)
        let file = try file()
        cache.truncate(cachePosition)
        let rows = embeddings.rows
        var position = Int64(cachePosition)
        let failure = embeddings.withUnsafeValues { embeddings in
            rope.cos.withUnsafeValues { cos in
                rope.sin.withUnsafeValues { sin in
                    withUnsafePointer(to: &position) { position in
                        file.run(
                            Names.textDecoder,
                            [
                                Input(embeddings, [1, rows, text.hiddenSize]), Input(cos, [rows, text.headDim]),
                                Input(sin, [rows, text.headDim]), Input(position),
                            ], shape: [1, rows, text.hiddenSize], into: &hidden)
                    }
                }
            }
        }
        if let failure { throw failure }
    }

    func logits(hidden: Matrix, into logits: inout Matrix) throws(PocketVLError) {
        try EngineChecks.head(manifest, hidden, logits)
        try head(file(), hidden, into: &logits)
    }

    func saveCache(length: Int) throws(PocketVLError) -> [String: CacheTensor] {
        try EngineChecks.savedSlots(manifest, length)
        let file = try file()
        let shape = [1, length, text.numKvHeads, text.headDim]
        let bytes = shape.reduce(MemoryLayout<Float>.size, *)
        var saved: [String: CacheTensor] = [:]
        for name in savedBuffers(file) {
            guard let copy = try file.buffer(name, of: Names.textDecoder, bytes: bytes) else { continue }
            saved[name] = CacheTensor(dtype: "float32", shape: shape, bytes: copy)
        }
        return saved
    }

    func loadCache(_ tensors: [String: CacheTensor]) throws(PocketVLError) -> Int {
        let file = try file()
        let names = savedBuffers(file)
        let whole = [1, manifest.maxContext, text.numKvHeads, text.headDim]
        let count = try EngineChecks.cache(
            tensors, wholes: names.map { ($0, whole) }, dtype: "float32", slotAxis: 1)
        cache.truncate(0)
        for name in names {
            if let tensor = tensors[name] { try file.write(tensor.bytes, to: name, of: Names.textDecoder) }
        }
        return count
    }

    func close() {
        cache.truncate(0)
        loaded = nil
    }

    /// Buffers that hold keys and values; none for a file that does not name all of them, as 0.1.0 wrote them.
    private func savedBuffers(_ file: LoadedFile) -> [String] {
        let names = (0..<text.numLayers).flatMap { layer in
            ["k", "v"].map { Names.cacheBuffer(layer: layer, part: $0) }
        }
        let whole = [1, manifest.maxContext, text.numKvHeads, text.headDim]
        return names.allSatisfy { file.bufferShape($0, of: Names.textDecoder) == whole } ? names : []
    }

    private func file() throws(PocketVLError) -> LoadedFile {
        if let loaded { return loaded }
        guard let entry = manifest.entries(Names.textDecoder).first else {
            throw .bundle("\(bundle.folder.path) has no \(Names.textDecoder); export the bundle again.")
        }
        let file = try LoadedFile(
            bundle.file(entry.file), threads: threads, methods: [Names.textDecoder, Names.lmHead],
            constants: [
                Names.getMaxSeqLen: manifest.prefillChunk, Names.getMaxContextLen: manifest.maxContext,
                Names.getVocabSize: text.vocabSize,
            ])
        // The head first: loading the decoder first and then the head peaks 0.4 GB higher for the 2B model.
        var logits = Matrix(rows: 1, columns: text.vocabSize)
        try head(file, Matrix(rows: 1, columns: text.hiddenSize), into: &logits)
        loaded = file
        return file
    }

    private func head(_ file: LoadedFile, _ hidden: Matrix, into logits: inout Matrix) throws(PocketVLError) {
        for start in stride(from: 0, to: hidden.rows, by: Names.maxHeadRows) {
            let rows = min(Names.maxHeadRows, hidden.rows - start)
            let failure = hidden.withUnsafeValues { values in
                let first = start * text.hiddenSize
                let part = UnsafeBufferPointer(rebasing: values[first..<first + rows * text.hiddenSize])
                return file.run(
                    Names.lmHead, [Input(part, [1, rows, text.hiddenSize])], shape: [1, rows, text.vocabSize],
                    into: &logits, from: start)
            }
            if let failure { throw failure }
        }
    }
}
