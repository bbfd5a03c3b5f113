internal import CPocketVLExecuTorch
import PocketVL

/// A ``TextEngine`` over text_decoder.pte, whose cache is the graph's own state; it can save its cache.
final class ExecuTorchText: SavesCache, @unchecked Sendable {  // for one task at a time, which holds the cache's claim
    let cache = KVCache()
    private let bundle: ModelBundle
    private let threads: Int?
    private var loaded: LoadedFile?
    private var steps: MethodCall?  // the last ones: tokens come one by one
    private var heads: MethodCall?
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
        let call = steps(embeddings.rows)
        var position = Int64(cachePosition)
        let failure = embeddings.withUnsafeValues { embeddings in
            rope.cos.withUnsafeValues { cos in
                rope.sin.withUnsafeValues { sin in
                    withUnsafePointer(to: &position) { position in
                        call.set(0, embeddings.baseAddress)
                        call.set(1, cos.baseAddress)
                        call.set(2, sin.baseAddress)
                        call.set(3, position)
                        return file.run(call, into: &hidden)
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
            let call = heads(rows)
            let failure = hidden.withUnsafeValues { values in
                call.set(0, UnsafeBufferPointer(rebasing: values[(start * text.hiddenSize)...]).baseAddress)
                return file.run(call, into: &logits, from: start)
            }
            if let failure { throw failure }
        }
    }

    private func steps(_ rows: Int) -> MethodCall {
        if let steps, steps.count == rows * text.hiddenSize { return steps }
        let (hidden, angles) = ([1, rows, text.hiddenSize], pv_type.floats([rows, text.headDim]))
        let made = MethodCall(
            Names.textDecoder, inputs: [.floats(hidden), angles, angles, .integer], output: hidden)
        steps = made
        return made
    }

    private func heads(_ rows: Int) -> MethodCall {
        if let heads, heads.count == rows * text.vocabSize { return heads }
        let made = MethodCall(
            Names.lmHead, inputs: [.floats([1, rows, text.hiddenSize])], output: [1, rows, text.vocabSize])
        heads = made
        return made
    }
}
