import Foundation
import Testing

@testable import PocketVL

@Suite struct EngineChecksTests {
    @Test("inputs that do not fit never reach native code", arguments: EngineCases.quantized)
    func inputs(name: String) throws {
        let bundle = try EngineCases.bundle(name)
        let engine = try EngineCases.open(bundle)
        defer { engine.close() }
        let (vision, text) = (bundle.manifest.geometry.vision, bundle.manifest.geometry.text)
        let (chunk, context) = (bundle.manifest.prefillChunk, bundle.manifest.maxContext)

        func refused(_ part: String, _ body: () throws -> Void) throws {
            let error = try refusal(body)
            guard case .engine(let message) = error else {
                Issue.record("no engine error where \(part) belongs: \(String(describing: error))")
                return
            }
            #expect(message.contains(part))
        }
        func encode(_ rows: Int, _ columns: Int, ropeRows: Int? = nil) throws {
            let rope = Rope(
                cos: Matrix(rows: ropeRows ?? rows, columns: vision.headDim),
                sin: Matrix(rows: rows, columns: vision.headDim))
            _ = try engine.vision.encode(patches: Matrix(rows: rows, columns: columns), rope: rope)
        }
        func decode(_ rows: Int, _ slot: Int, columns: Int? = nil, hiddenRows: Int? = nil) throws {
            let rope = Rope(
                cos: Matrix(rows: rows, columns: text.headDim), sin: Matrix(rows: rows, columns: text.headDim))
            var hidden = Matrix(rows: hiddenRows ?? rows, columns: text.hiddenSize)
            try engine.text.decode(
                embeddings: Matrix(rows: rows, columns: columns ?? text.hiddenSize), rope: rope, cachePosition: slot,
                into: &hidden)
        }
        func logits(_ rows: Int, into room: Int) throws {
            var logits = Matrix(rows: room, columns: text.vocabSize)
            try engine.text.logits(hidden: Matrix(rows: rows, columns: text.hiddenSize), into: &logits)
        }
        try refused("An image of 0 patches") { try encode(0, vision.patchDim) }
        try refused("An image of 6 patches") { try encode(6, vision.patchDim) }
        try refused("multiples of 4 up to") { try encode((bundle.manifest.buckets.last ?? 0) + 4, vision.patchDim) }
        try refused("patches must be (16, \(vision.patchDim)), not (16, 7)") { try encode(16, 7) }
        try refused("rope.cos must be") { try encode(16, vision.patchDim, ropeRows: 12) }
        try refused("0 tokens were given") { try decode(0, 0) }
        try refused("\(chunk + 1) tokens were given") { try decode(chunk + 1, 0) }
        try refused("lie outside the context") { try decode(1, -1) }
        try refused("lie outside the context") { try decode(2, context - 1) }
        try refused("lie outside the context") { try decode(1, Int.max) }
        try refused("embeddings must be") { try decode(1, 0, columns: 5) }
        try refused("hidden must be") { try decode(2, 0, hiddenRows: 1) }
        try refused("hidden must be") { try logits(0, into: 0) }
        try refused("logits must be") { try logits(2, into: 1) }
        try decode(1, context - 1)
    }

    @Test("numbers of threads that no machine has are refused", arguments: EngineCases.threaded, [0, -1, 257])
    func threads(name: String, threads: Int) throws {
        let bundle = try EngineCases.bundle(name)
        let error = try refusal { _ = try EngineCases.open(bundle, threads: threads) }
        #expect(error == .engine("\(threads) threads were asked for; give 1..256, one a core is best."))
    }
}
