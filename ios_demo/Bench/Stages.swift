import CAllocations
import Foundation
import PocketVL

/// Two chunks of prefill, the best of three, and the median of 64 steps behind them, over any tokens: no stage looks at
/// values.
struct Stages: Encodable {
    let prefillRate: Double
    let decodeRate: Double
    let decodeRateBest: Double
    /// Bytes of the Swift heap that a step of decoder and head takes, and a whole token of an answer; the least of
    /// several.
    let decodeAllocatedBytes: Int64
    let tokenAllocatedBytes: Int64

    static func measured(_ folder: URL, _ threads: Int) throws -> Stages {
        let bundle = try ModelBundle.open(folder, verify: .never)
        let engine = try Bench.engine(bundle, threads)
        defer { engine.close() }
        var steps = try Steps(bundle, engine)
        try steps.decode(at: 0, 1)
        let (chunk, context) = (bundle.manifest.prefillChunk, bundle.manifest.maxContext)
        let chunks = max(1, min(2, (context - 1) / chunk))
        let prefill: [Double] = try (0..<3).map { _ in
            try timed { for index in 0..<chunks { try steps.decode(at: index * chunk, chunk) } }.seconds
        }
        let single: [Double] = try (chunks * chunk..<min(chunks * chunk + 64, context - 1)).map { slot in
            try timed { try steps.decode(at: slot, 1) }.seconds
        }.sorted()
        return Stages(
            prefillRate: Double(chunks * chunk) / (prefill.min() ?? .nan), decodeRate: 1 / single[single.count / 2],
            decodeRateBest: 1 / single[0], decodeAllocatedBytes: try steps.ofStep(at: context - 1),
            tokenAllocatedBytes: try steps.ofToken())
    }
}

/// Decoder and, for single tokens, the head.
private struct Steps {
    private let bundle: ModelBundle
    private let engine: Engine
    private let table: EmbeddingMap
    private let ids: [Int]
    private var hidden: Matrix
    private var logits: Matrix
    private var text: TextGeometry { bundle.manifest.geometry.text }

    init(_ bundle: ModelBundle, _ engine: Engine) throws {
        self.bundle = bundle
        self.engine = engine
        let (text, embedding) = (bundle.manifest.geometry.text, bundle.manifest.tokenEmbedding)
        table = try EmbeddingMap(bundle.file(embedding.file), embedding)
        ids = (0..<bundle.manifest.maxContext).map { $0 * 7919 % text.vocabSize }
        hidden = Matrix(rows: 1, columns: text.hiddenSize)
        logits = Matrix(rows: 1, columns: text.vocabSize)
    }

    mutating func decode(at slot: Int, _ count: Int) throws {
        let feed = Feed(text: Array(ids[slot..<slot + count]), start: slot)
        let embeddings = try table.gather(feed.tokenIDs)
        let rope = Positions.textRope(feed.positions, text)
        if hidden.rows != count { hidden = Matrix(rows: count, columns: text.hiddenSize) }
        try engine.text.decode(embeddings: embeddings, rope: rope, cachePosition: slot, into: &hidden)
        if count == 1 { try engine.text.logits(hidden: hidden, into: &logits) }
    }

    /// What decoder and head allocate for one token, the least of three: the first copies the matrices.
    func ofStep(at slot: Int) throws -> Int64 {
        let embeddings = try table.gather([ids[slot]])
        let rope = Positions.textRope(Feed(text: [ids[slot]], start: slot).positions, text)
        var (hidden, logits) = (hidden, logits)
        return try (0..<3).map { _ in
            pv_count_allocations()
            try engine.text.decode(embeddings: embeddings, rope: rope, cachePosition: slot, into: &hidden)
            try engine.text.logits(hidden: hidden, into: &logits)
            return pv_counted_allocations()
        }.min() ?? 0
    }

    /// The least that a token of an answer allocates: with most of them no list grows.
    func ofToken() throws -> Int64 {
        var decoder = Decoder(engine.text, table, bundle.manifest)
        let prompt = Array(ids[..<8])
        _ = try decoder.feed(Feed(text: prompt, start: 0))
        var generation = Generation(decoder, try Chooser(Sampler(), never: []), prompt: prompt, most: 32)
        return try (0..<32).map { _ in
            pv_count_allocations()
            _ = try generation.next()
            return pv_counted_allocations()
        }.min() ?? 0
    }
}
