import Foundation
import Testing

@testable import PocketVL

/// A model with the tiny checkpoint's tokenizer and template, over an engine whose answers depend on all that it is fed.
final class SmallModel {
    static let hidden = 16
    static let rows = 1024
    let folder: TemporaryFolder
    let engine: HashEngine
    let model: Model

    init() throws {
        let folder = try TemporaryFolder()
        self.folder = folder
        let repository = (0..<4).reduce(URL(fileURLWithPath: #filePath)) { url, _ in url.deletingLastPathComponent() }
        let checkpoint = repository.appendingPathComponent("export/pocketvl/export/tiny/checkpoint")
        for name in [Names.tokenizerFile, Names.chatTemplateFile] {
            try FileManager.default.copyItem(
                at: checkpoint.appendingPathComponent(name), to: folder.url.appendingPathComponent(name))
        }
        let table = (0..<Self.rows * Self.hidden).flatMap { index in
            withUnsafeBytes(of: (Float(index * 7919 % 1009) / 1009).bitPattern.littleEndian, Array.init)
        }
        try Data(table).write(to: folder.url.appendingPathComponent(Names.textDecoderPte))
        let tokenizer = try Tokenizer(folder.url.appendingPathComponent(Names.tokenizerFile))
        let id = { (name: String) throws -> Int in try #require(tokenizer.tokenID("<|\(name)|>")) }
        let end = try id("im_end")
        let files = try [Names.chatTemplateFile, Names.textDecoderPte, Names.tokenizerFile].map { name in
            let file = folder.url.appendingPathComponent(name)
            return try FileRecord(
                path: name, size: try Data(contentsOf: file).count, sha256: try sha256(ofFile: file))
        }
        let manifest = Manifest(
            schemaVersion: Names.schemaVersion, target: Names.executorch, recipe: "fp32", quantizationMethod: "none",
            geometry: try ModelGeometry(
                vision: VisionGeometry(
                    depth: 1, hiddenSize: 16, intermediateSize: 16, numHeads: 2, inChannels: 3, patchSize: 14,
                    temporalPatchSize: 2, spatialMergeSize: 2, outputSize: Self.hidden),
                text: TextGeometry(
                    numLayers: 1, hiddenSize: Self.hidden, intermediateSize: 16, numHeads: 2, numKvHeads: 1, headDim: 8,
                    vocabSize: Self.rows, ropeTheta: 10000, rmsNormEps: 1e-6, mropeSection: [2, 1, 1],
                    maxPositionEmbeddings: 4096, tieWordEmbeddings: true)),
            specialTokens: SpecialTokens(
                imagePad: try id("image_pad"), videoPad: try id("video_pad"), visionStart: try id("vision_start"),
                visionEnd: try id("vision_end"), eos: [end], imEnd: end),
            image: try ImageSettings(
                minPixels: 3136, maxPixels: 12_845_056, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]),
            buckets: [16, 64], maxContext: 512, prefillChunk: 32, chat: true,
            sampling: try SamplingDefaults(temperature: 0, topK: 0, topP: 1, repetitionPenalty: 1), entryPoints: [],
            tokenEmbedding: try EmbeddingTable(
                file: Names.textDecoderPte, rows: Self.rows, columns: Self.hidden, storage: "float32", dataOffset: 0,
                scalesOffset: nil, scalesDtype: nil, groupSize: nil),
            layers: [], files: files, optionalFiles: [],
            provenance: Provenance(
                source: "small", sourceSha256: "", calibration: nil, calibrationSha256: nil, pocketvl: "0", tools: [:],
                command: "by hand", sourceRevision: nil))
        engine = HashEngine(end: end)
        model = try Model(
            ModelBundle(folder: folder.url, manifest: manifest), Engine(vision: engine, text: engine))
    }
}

/// A slot's state is a hash of the slot before it, its embedding and its rope, and says which token follows.
final class HashEngine: VisionEngine, TextEngine, @unchecked Sendable {
    struct Counts: Sendable {
        var encoded = 0
        var released = 0
        var closed = 0
        var decoded = 0
    }

    let cache = KVCache()
    private let end: Int
    private let lock = NSLock()
    private var counted = Counts()
    private var states = [UInt64](repeating: 0, count: 1024)
    private var hook: @Sendable (Int) -> Void = { _ in }

    init(end: Int) { self.end = end }

    var counts: Counts { lock.withLock { counted } }

    /// Called at the beginning of each decode with its number, from 1.
    var onDecode: @Sendable (Int) -> Void {
        get { lock.withLock { hook } }
        set { lock.withLock { hook = newValue } }
    }

    func encode(patches: Matrix, rope: Rope) throws(PocketVLError) -> Matrix {
        lock.withLock { counted.encoded += 1 }
        var result = Matrix(rows: patches.rows / 4, columns: SmallModel.hidden)
        for row in 0..<result.rows {
            let state = (4 * row..<4 * row + 4).reduce(UInt64(1)) { Self.hash($0, patches.row($1)) }
            Self.write(state, &result, row)
        }
        return result
    }

    func release() { lock.withLock { counted.released += 1 } }

    func decode(embeddings: Matrix, rope: Rope, cachePosition: Int, into hidden: inout Matrix) throws(PocketVLError) {
        let number = lock.withLock {
            counted.decoded += 1
            return counted.decoded
        }
        onDecode(number)
        cache.truncate(cachePosition)
        hidden = Matrix(rows: embeddings.rows, columns: SmallModel.hidden)
        for row in 0..<embeddings.rows {
            let slot = cachePosition + row
            var state = slot == 0 ? 1 : states[slot - 1]
            state = Self.hash(Self.hash(state, embeddings.row(row)), rope.cos.row(row))
            states[slot] = state
            Self.write(state, &hidden, row)
        }
    }

    /// One of 900 ordinary tokens, or the end after every 16th state.
    func logits(hidden: Matrix, into logits: inout Matrix) throws(PocketVLError) {
        logits = Matrix(rows: hidden.rows, columns: SmallModel.rows)
        for row in 0..<hidden.rows {
            let state = hidden.row(row).reduce(0) { $0 * 2 + ($1 > 0 ? 1 : 0) }
            let token = state % 16 == 0 ? end : state % 900
            logits.withUnsafeMutableValues { $0[row * SmallModel.rows + token] = 1 }
        }
    }

    func close() {
        lock.withLock { counted.closed += 1 }
        cache.truncate(0)
    }

    private static func hash(_ state: UInt64, _ values: ArraySlice<Float>) -> UInt64 {
        values.reduce(state) { ($0 ^ UInt64($1.bitPattern)) &* 0x0000_0100_0000_01B3 }
    }

    /// The bits from the middle of a mixed state as signs.
    private static func write(_ state: UInt64, _ matrix: inout Matrix, _ row: Int) {
        let mixed = (state ^ (state >> 29)) &* 0xBF58_476D_1CE4_E5B9
        matrix.withUnsafeMutableValues { values in
            for column in 0..<SmallModel.hidden {
                values[row * SmallModel.hidden + column] = mixed >> (20 + UInt64(column)) & 1 == 1 ? 1 : -1
            }
        }
    }
}
