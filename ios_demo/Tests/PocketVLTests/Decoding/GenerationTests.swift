import Foundation
import Testing

@testable import PocketVL

/// A decoder whose next token is a function of the last tokens in the cache, so that every slot matters.
private final class CountingEngine: TextEngine, @unchecked Sendable {
    let cache = KVCache()
    let vocabulary: Int
    var slots: [Float] = []  // the first value of what each slot was fed
    var passes: [Int] = []

    init(vocabulary: Int) { self.vocabulary = vocabulary }

    func decode(
        embeddings: Matrix, rope: Rope, cachePosition: Int, into hidden: inout Matrix
    ) throws(PocketVLError) {
        cache.truncate(cachePosition)
        slots.removeLast(slots.count - cachePosition)
        passes.append(embeddings.rows)
        for row in 0..<embeddings.rows {
            slots.append(embeddings[row, 0])
            hidden[row, 0] = slots.suffix(3).enumerated().reduce(0) { $0 + Float($1.offset + 1) * $1.element }
        }
    }

    func logits(hidden: Matrix, into logits: inout Matrix) throws(PocketVLError) {
        for row in 0..<hidden.rows {
            for id in 0..<vocabulary { logits[row, id] = id == Int(hidden[row, 0]) % vocabulary ? 1 : 0 }
        }
    }

    func close() {}
}

/// Guesses right, but for each fourth token.
private final class Oracle: Proposer {
    let answer: [Int]
    var known = 0
    var drafted = 0

    init(_ answer: [Int]) { self.answer = answer }

    func add(_ token: Int) { known += 1 }

    func propose(limit: Int) -> [Int] {
        (known..<min(known + min(3, limit), answer.count)).map { $0 % 4 == 3 ? (answer[$0] + 1) % 11 : answer[$0] }
    }

    func notePass(rows: Int, seconds: Double, drafted: Int) { self.drafted += drafted }
}

@Suite struct GenerationTests {
    private let prompt = [1, 4, 2, 8, 5, 7]

    @Test("drafts change no token, and save passes")
    func drafts() throws {
        let plain = try answer(chunk: 4)
        let proposer = Oracle(plain.tokens)
        let drafted = try answer(chunk: 4, proposer)
        #expect(drafted.tokens == plain.tokens)
        #expect(drafted.passes < plain.passes)
        #expect(proposer.drafted > 0)
        #expect(drafted.slots == plain.slots)
    }

    @Test("chunks change no token", arguments: [1, 2, 5, 64])
    func chunks(size: Int) throws {
        #expect(try answer(chunk: size).tokens == answer(chunk: 4).tokens)
    }

    @Test("slots that are held already are not fed again")
    func reuse() throws {
        let (engine, decoder) = try decoder(chunk: 4)
        var first = decoder
        #expect(try first.feed(Feed(text: Array(prompt.prefix(4)), start: 0)))
        var second = decoder
        #expect(try second.feed(Feed(text: prompt, start: 0), from: 4))
        #expect(engine.passes == [4, 2])
        #expect(engine.cache.count == 6)
        #expect(engine.slots == prompt.map(Float.init))
    }

    @Test("embeddings of an image take the places of its placeholders, across chunks and from the middle on")
    func media() throws {
        var rows = Matrix(rows: 4, columns: 1)
        for row in 0..<4 { rows[row, 0] = Float(100 + row) }
        let image = Media(grid: Grid(t: 1, h: 4, w: 4), key: "a", embeddings: rows)
        let special = SpecialTokens(imagePad: 9, videoPad: 10, visionStart: 3, visionEnd: 6, eos: [], imEnd: nil)
        let feed = try Feed([1, 9, 9, 9, 9, 2], media: [image], special: special, merge: 2)
        for first in [0, 3] {
            let (engine, decoder) = try decoder(chunk: 2)
            engine.slots = [1, 100, 101].prefix(first).map { $0 }
            var feeding = decoder
            #expect(try feeding.feed(feed, from: first))
            #expect(engine.slots == [1, 100, 101, 102, 103, 2])
        }
        let missing = try Feed([1, 2], media: [], special: special, merge: 2)
        var (_, decoder) = try decoder(chunk: 2)
        #expect(try refusal { _ = try decoder.feed(missing, from: 2) }?.isPrompt == true)
    }

    @Test("feeding stops where it is told to")
    func stop() throws {
        var (engine, decoder) = try decoder(chunk: 2)
        #expect(try !decoder.feed(Feed(text: prompt, start: 0)) { $0 < 4 })
        #expect(engine.passes == [2, 2])
    }

    private func answer(
        chunk: Int, _ proposer: (any Proposer)? = nil
    ) throws -> (tokens: [Int], passes: Int, slots: [Float]) {
        var (engine, decoder) = try decoder(chunk: chunk)
        _ = try decoder.feed(Feed(text: prompt, start: 0))
        let prefill = engine.passes.count
        var generation = Generation(
            decoder, try Chooser(Sampler(), never: []), prompt: prompt, most: 30, proposer: proposer)
        let tokens = try (0..<30).map { _ in try generation.next().token }
        return (tokens, engine.passes.count - prefill, Array(engine.slots.prefix(35)))
    }

    private func decoder(chunk: Int) throws -> (CountingEngine, Decoder) {
        let folder = try TemporaryFolder()
        // Scales of 1 behind the values.
        let scales = (0..<11).flatMap { _ in withUnsafeBytes(of: Float(1).bitPattern.littleEndian, Array.init) }
        let whole = try folder.write("scaled.bin", Array(0..<11) + scales)
        let scaled = try EmbeddingTable(
            file: "scaled.bin", rows: 11, columns: 1, storage: "int8", dataOffset: 0, scalesOffset: 11,
            scalesDtype: "float32", groupSize: 1)
        let engine = CountingEngine(vocabulary: 11)
        let text = try TextGeometry(
            numLayers: 1, hiddenSize: 1, intermediateSize: 1, numHeads: 1, numKvHeads: 1, headDim: 2, vocabSize: 11,
            ropeTheta: 10, rmsNormEps: 1e-6, mropeSection: [1, 0, 0], maxPositionEmbeddings: 64,
            tieWordEmbeddings: true)
        return (engine, Decoder(engine, try EmbeddingMap(whole, scaled), text: text, prefillChunk: chunk))
    }
}
