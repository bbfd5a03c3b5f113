#if os(Linux)
    import CAllocations
    import Testing

    @testable import PocketVL

    /// What a token takes of the Swift heap once the buffers that it needs are there.
    ///
    /// One test after the other, since counting is switched on for the whole process.
    @Suite(.serialized) struct StepAllocationTests {
        @Test("a step of decoder and head allocates nothing", arguments: EngineCases.threaded)
        func step(name: String) throws {
            let bundle = try EngineCases.bundle(name)
            let engine = try EngineCases.open(bundle)
            defer { engine.close() }
            let text = bundle.manifest.geometry.text
            let embeddings = wave(1, text.hiddenSize, 0.05, 1)
            let rope = Rope(cos: wave(1, text.headDim, 1, 2), sin: wave(1, text.headDim, 1, 3))
            var hidden = Matrix(rows: 1, columns: text.hiddenSize)
            var logits = Matrix(rows: 1, columns: text.vocabSize)
            for slot in 0..<4 {
                let (decoded, headed) = (
                    try allocated {
                        try engine.text.decode(
                            embeddings: embeddings, rope: rope, cachePosition: slot, into: &hidden)
                    }, try allocated { try engine.text.logits(hidden: hidden, into: &logits) }
                )
                if slot > 0 { #expect(decoded == 0 && headed == 0, "\(decoded), \(headed) at \(slot)") }
            }
        }

        @Test("a token of an answer allocates nothing, but where its lists grow", arguments: EngineCases.threaded)
        func token(name: String) throws {
            let bundle = try EngineCases.bundle(name)
            let engine = try EngineCases.open(bundle)
            defer { engine.close() }
            let entry = bundle.manifest.tokenEmbedding
            var decoder = Decoder(engine.text, try EmbeddingMap(bundle.file(entry.file), entry), bundle.manifest)
            let prompt = Array(40..<60)
            _ = try decoder.feed(Feed(text: prompt, start: 0))
            var generation = Generation(decoder, try Chooser(Sampler(), never: [3]), prompt: prompt, most: 40)
            let bytes = try (0..<40).map { _ in try allocated { _ = try generation.next() } }
            // From 20 to 60 entries the ids seen so far and the cache's two lists double their room twice at most.
            #expect(bytes.dropFirst(3).filter { $0 > 0 }.count <= 6, "\(bytes)")
        }

        private func allocated(_ action: () throws -> Void) rethrows -> Int64 {
            pv_count_allocations()
            defer { _ = pv_counted_allocations() }
            try action()
            return pv_counted_allocations()
        }
    }
#endif
