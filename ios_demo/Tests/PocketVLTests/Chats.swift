import Foundation
import Testing

@testable import PocketVL

/// A bundle with the tiny checkpoint's tokenizer and template, whose graphs are empty: for a ``FakeEngine``.
final class Chats: Sendable {
    static let rows = 1024
    private static let firstSpecial = 1010
    let prefillChunk = 32
    let folder: TemporaryFolder
    let manifest: Manifest
    let tokenizer: Tokenizer
    let fake: FakeEngine

    init(maxContext: Int = 320, chat: Bool = true) throws {
        folder = try TemporaryFolder()
        for name in [Names.tokenizerFile, Names.chatTemplateFile] {
            try folder.write(name, Array(Data(contentsOf: checkpoint.appendingPathComponent(name))))
        }
        var random = Seeded(7)
        let table = (0..<Self.rows * FakeEngine.hidden).flatMap { _ in
            withUnsafeBytes(of: Float.random(in: 0..<1, using: &random).bitPattern.littleEndian, Array.init)
        }
        try folder.write(Names.textDecoderPte, table)
        let tokenizer = try Tokenizer(folder.url.appendingPathComponent(Names.tokenizerFile))
        self.tokenizer = tokenizer
        func id(_ name: String) throws -> Int { try #require(tokenizer.tokenID("<|\(name)|>")) }
        let special = SpecialTokens(
            imagePad: try id("image_pad"), videoPad: try id("video_pad"), visionStart: try id("vision_start"),
            visionEnd: try id("vision_end"), eos: [try id("im_end"), try id("endoftext")], imEnd: try id("im_end"))
        let names = [Names.chatTemplateFile, Names.textDecoderPte, Names.tokenizerFile]
        var files: [FileRecord] = []
        for name in names {
            let bytes = Array(try Data(contentsOf: folder.url.appendingPathComponent(name)))
            files.append(try FileRecord(path: name, size: bytes.count, sha256: Digest.hex(of: bytes)))
        }
        manifest = Manifest(
            schemaVersion: Names.schemaVersion, target: Names.executorch, recipe: "fp32", quantizationMethod: "none",
            geometry: try ModelGeometry(
                vision: VisionGeometry(
                    depth: 1, hiddenSize: 16, intermediateSize: 16, numHeads: 2, inChannels: 3, patchSize: 14,
                    temporalPatchSize: 2, spatialMergeSize: 2, outputSize: FakeEngine.hidden),
                text: TextGeometry(
                    numLayers: 1, hiddenSize: FakeEngine.hidden, intermediateSize: 16, numHeads: 2, numKvHeads: 1,
                    headDim: 8, vocabSize: Self.rows, ropeTheta: 10000, rmsNormEps: 1e-6, mropeSection: [2, 1, 1],
                    maxPositionEmbeddings: 4096, tieWordEmbeddings: true)),
            specialTokens: special,
            image: try ImageSettings(
                minPixels: 3136, maxPixels: 12_845_056, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]),
            buckets: [16, 64], maxContext: maxContext, prefillChunk: prefillChunk, chat: chat,
            sampling: try SamplingDefaults(temperature: 0, topK: 0, topP: 1, repetitionPenalty: 1), entryPoints: [],
            tokenEmbedding: try EmbeddingTable(
                file: Names.textDecoderPte, rows: Self.rows, columns: FakeEngine.hidden, storage: "float32",
                dataOffset: 0, scalesOffset: nil, scalesDtype: nil, groupSize: nil),
            layers: [], files: files, optionalFiles: [],
            provenance: Provenance(
                source: "small", sourceSha256: "", calibration: nil, calibrationSha256: nil, pocketvl: "0", tools: [:],
                command: "by hand", sourceRevision: nil))
        fake = Self.engine(special, maxContext)
    }

    /// Another engine that computes the same.
    func engine() -> FakeEngine { Self.engine(manifest.specialTokens, manifest.maxContext) }

    func model(_ engine: FakeEngine? = nil) throws -> Model {
        try Model(ModelBundle(folder: folder.url, manifest: manifest), (engine ?? fake).engine)
    }

    func file(_ name: String) -> URL { folder.url.appendingPathComponent(name) }

    private static func engine(_ special: SpecialTokens, _ slots: Int) -> FakeEngine {
        FakeEngine(vocabulary: rows, firstSpecial: firstSpecial, slots: slots, eos: special.eos[0])
    }
}

/// So many tokens, drawn as the fake engine wants.
func tokens(_ count: Int) -> AskOptions { AskOptions(maxTokens: count, sampling: .greedy) }

/// Noise of which each seed gives another.
func noise(_ seed: UInt64, width: Int = 84, height: Int = 84) throws -> RgbImage {
    var random = Seeded(seed)
    return try RgbImage(
        width: width, height: height, pixels: (0..<3 * width * height).map { _ in .random(in: 0...255, using: &random) }
    )
}

func about(_ seed: UInt64, _ text: String = "What?") throws -> [Part] { [.image(try noise(seed)), .text(text)] }

struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 1 }

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (state ^ (state >> 33)) &* 0xFF51_AFD7_ED55_8CCD
    }
}

/// A place where an engine waits until a test opens it.
final class Gate: @unchecked Sendable {
    private let condition = NSCondition()
    private var isOpen = false
    private var entered = 0

    /// For the engine.
    func wait() {
        condition.lock()
        defer { condition.unlock() }
        entered += 1
        let end = Date(timeIntervalSinceNow: 60)
        while !isOpen && condition.wait(until: end) {}
    }

    func open() {
        condition.lock()
        defer { condition.unlock() }
        isOpen = true
        condition.broadcast()
    }

    /// Until the engine waits here.
    func waitUntilEntered() async throws { try await eventually { self.count > 0 } }

    private var count: Int {
        condition.lock()
        defer { condition.unlock() }
        return entered
    }
}

func eventually(_ isTrue: @Sendable () async -> Bool) async throws {
    for _ in 0..<60_000 {
        if await isTrue() { return }
        try await Task.sleep(for: .milliseconds(1))
    }
    Issue.record("it never came to be")
}

extension AnswerEvents {
    /// All of them.
    func all() async -> [Event] {
        var all: [Event] = []
        for await event in self { all.append(event) }
        return all
    }

    /// What it failed with.
    func failure() async -> PocketVLError? {
        let all = await all()
        if case .failed(let error, _) = all.last { return error }
        return nil
    }
}

extension Event {
    var answer: Answer? { if case .completed(let answer) = self { answer } else { nil } }
}

/// What `body` throws, which must be a ``PocketVLError``; nil where it does not throw.
func refusal(_ body: () async throws -> Void) async throws -> PocketVLError? {
    do {
        try await body()
        return nil
    } catch let error as PocketVLError {
        return error
    }
}

/// What several tasks add to.
final class Collected<Item: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var items: [Item] = []

    var all: [Item] { lock.withLock { items } }

    func append(_ item: Item) { lock.withLock { items.append(item) } }
}
