import PocketVL

/// Times the stages of an engine one by one, as `pocketvl bench` does. Numbers in the inputs make no difference to
/// speed, so that they are all alike.
struct StageTimer: Sendable {
    let manifest: Manifest
    let engine: Engine
    /// Seconds of a clock that never goes back.
    let clock: @Sendable () -> Double

    private static let value: Float = 0.5  // neither zero nor so small that processors slow down

    /// Loads what is not loaded and holds the KV cache meanwhile, which conversations fill again. `onStep` is called
    /// before each run and may throw to end it. Throws ``PocketVL/PocketVLError/usage(_:)`` for settings that do not fit
    /// the bundle.
    func run(_ settings: BenchmarkSettings, onStep: (Step) throws -> Void) throws -> Timings {
        let (repeats, prompt, tokens) = (settings.repeats, settings.prefillTokens, settings.decodeTokens)
        guard repeats >= 1, prompt >= 1, tokens >= 1, prompt <= manifest.maxContext - tokens else {
            throw PocketVLError.usage(
                "\(repeats) repeats, a prompt of \(prompt) and \(tokens) tokens cannot be timed; take at least one of"
                    + " each, and no more tokens than the bundle's context of \(manifest.maxContext).")
        }
        let claim = try engine.text.cache.claim()
        defer {
            engine.text.cache.truncate(0)
            claim.release()
        }
        engine.close()  // so that loading is timed, too
        let vision = try vision(repeats, onStep)
        engine.vision.release()
        let prefill = try prefill(repeats, prompt, onStep)
        return Timings(
            visionLoad: vision.load, decoderLoad: prefill.load, vision: vision.times,
            prefill: PrefillTimes(tokens: prompt, seconds: prefill.seconds),
            decode: DecodeTimes(seconds: try decode(prompt, tokens, onStep)))
    }

    private func vision(
        _ repeats: Int, _ onStep: (Step) throws -> Void
    ) throws -> (load: Double, times: [VisionTimes]) {
        let geometry = manifest.geometry.vision
        let total = manifest.buckets.count * repeats + 1
        var (done, first) = (0, 0.0)
        var times: [VisionTimes] = []
        for (index, count) in manifest.buckets.enumerated() {
            let patches = try filled(count, geometry.patchDim)
            let rope = Rope(cos: try filled(count, geometry.headDim), sin: try filled(count, geometry.headDim))
            func run() throws -> Double {
                try onStep(Step(stage: .vision, done: done, total: total))
                done += 1
                return try seconds { _ = try engine.vision.encode(patches: patches, rope: rope) }
            }
            if index == 0 { first = try run() }
            times.append(
                VisionTimes(
                    patches: count, tokens: count / geometry.mergeArea,
                    seconds: try (0..<repeats).map { _ in try run() }))
        }
        return (max(0, first - (times.first?.best ?? 0)), times)
    }

    private func prefill(
        _ repeats: Int, _ prompt: Int, _ onStep: (Step) throws -> Void
    ) throws -> (load: Double, seconds: [Double]) {
        var hidden = Matrix(rows: 0, columns: manifest.geometry.text.hiddenSize)
        let all = try (0...repeats).map { index in
            try onStep(Step(stage: .prefill, done: index, total: repeats + 1))
            return try seconds {
                for start in stride(from: 0, to: prompt, by: manifest.prefillChunk) {
                    try feed(at: start, min(manifest.prefillChunk, prompt - start), &hidden)
                }
            }
        }
        let later = Array(all.dropFirst())
        return (max(0, all[0] - (later.min() ?? 0)), later)
    }

    private func decode(_ prompt: Int, _ tokens: Int, _ onStep: (Step) throws -> Void) throws -> [Double] {
        let text = manifest.geometry.text
        var logits = Matrix(rows: 1, columns: text.vocabSize)
        var hidden = Matrix(rows: 1, columns: text.hiddenSize)
        // Loads the head where it is apart.
        try engine.text.logits(hidden: try filled(1, text.hiddenSize), into: &logits)
        return try (0..<tokens).map { index in
            try onStep(Step(stage: .decode, done: index, total: tokens))
            return try seconds {
                try feed(at: prompt + index, 1, &hidden)
                try engine.text.logits(hidden: hidden, into: &logits)
            }
        }
    }

    private func feed(at position: Int, _ count: Int, _ hidden: inout Matrix) throws {
        let text = manifest.geometry.text
        if hidden.rows != count { hidden = Matrix(rows: count, columns: text.hiddenSize) }
        let rope = Rope(cos: try filled(count, text.headDim), sin: try filled(count, text.headDim))
        try engine.text.decode(
            embeddings: try filled(count, text.hiddenSize), rope: rope, cachePosition: position, into: &hidden)
    }

    private func filled(_ rows: Int, _ columns: Int) throws -> Matrix {
        try Matrix(rows: rows, columns: columns, values: [Float](repeating: Self.value, count: rows * columns))
    }

    private func seconds(_ run: () throws -> Void) throws -> Double {
        let began = clock()
        try run()
        return clock() - began
    }
}
