#if canImport(CoreML) && (arch(arm64) || !os(macOS))
    import CoreML
    import PocketVL

    /// A ``TextEngine`` over the decoder's packages and head.mlpackage; it can save its cache.
    @available(iOS 18, macOS 15, *)
    final class CoreMLText: SavesCache, @unchecked Sendable {  // for one task at a time, which holds the cache's claim
        let cache = KVCache()
        private let bundle: ModelBundle
        private let packages: CompiledPackages
        private let probe: UnitsProbe
        private let lmHead: EntryPoint
        private var loaded: Loaded?
        private var manifest: Manifest { bundle.manifest }

        private struct Loaded {
            let decoder: DecoderChunks
            let head: LoadedFunction
        }

        init(_ bundle: ModelBundle, _ packages: CompiledPackages, _ probe: UnitsProbe) throws(PocketVLError) {
            guard let lmHead = bundle.manifest.entries(Names.lmHead).first else {
                throw .bundle("\(bundle.folder.path) has no \(Names.lmHead); export the bundle again.")
            }
            self.bundle = bundle
            self.packages = packages
            self.probe = probe
            self.lmHead = lmHead
        }

        func decode(
            embeddings: Matrix, rope: Rope, cachePosition: Int, into hidden: inout Matrix
        ) throws(PocketVLError) {
            try EngineChecks.decoder(manifest, embeddings, rope, cachePosition: cachePosition, hidden)
            let decoder = try ready().decoder
            cache.truncate(cachePosition)
            var done = 0
            while done < embeddings.rows {
                let position = cachePosition + done
                let left = embeddings.rows - done
                let size = try decoder.size(for: left, room: manifest.maxContext - position)
                let rows = done..<done + min(size, left)
                try decoder.run(size, embeddings, rope, rows: rows, at: position, into: &hidden)
                done = rows.upperBound
            }
        }

        func logits(hidden: Matrix, into logits: inout Matrix) throws(PocketVLError) {
            try EngineChecks.head(manifest, hidden, logits)
            try run(ready().head, hidden, into: &logits)
        }

        func saveCache(length: Int) throws(PocketVLError) -> [String: CacheTensor] {
            try EngineChecks.savedSlots(manifest, length)
            return try ready().decoder.save(length: length)
        }

        func loadCache(_ tensors: [String: CacheTensor]) throws(PocketVLError) -> Int {
            let decoder = try ready().decoder
            let count = try EngineChecks.cache(
                tensors, wholes: decoder.states(), dtype: "float16", slotAxis: 2)
            cache.truncate(0)
            decoder.load(tensors, count: count)
            return count
        }

        func close() {
            cache.truncate(0)
            loaded = nil
        }

        private func run(_ head: LoadedFunction, _ hidden: Matrix, into logits: inout Matrix) throws(PocketVLError) {
            let rows = try lmHead.inputs[0].sizes.dropLast().reduce(1, *)
            for start in stride(from: 0, to: hidden.rows, by: rows) {
                let part = start..<min(start + rows, hidden.rows)
                try head.input(Names.hidden).fill(hidden, rows: part)
                try head.run(nil).copy(to: &logits, rows: part)
            }
        }

        /// Everything, on the units that the probe finds, where all functions are tried if nobody did before.
        private func ready() throws(PocketVLError) -> Loaded {
            if let loaded { return loaded }
            let text = manifest.geometry.text
            func load(_ units: ComputeUnits) throws(PocketVLError) -> Loaded {
                Loaded(
                    decoder: try DecoderChunks(bundle, packages, units),
                    head: try LoadedFunction(lmHead, packages, units))
            }
            let made = try probe.open(load: load) { (made) throws(PocketVLError) in
                for size in made.decoder.sizes {
                    var hidden = Matrix(rows: size, columns: text.hiddenSize)
                    let rope = Rope(
                        cos: Matrix(rows: size, columns: text.headDim), sin: Matrix(rows: size, columns: text.headDim))
                    try made.decoder.run(size, hidden, rope, rows: 0..<size, at: 0, into: &hidden)
                }
                var logits = Matrix(rows: 1, columns: text.vocabSize)
                try run(made.head, Matrix(rows: 1, columns: text.hiddenSize), into: &logits)
            }
            // Slots are read only once they are written, so the state of the trial is as good as a new one.
            loaded = made
            return made
        }
    }
#endif
