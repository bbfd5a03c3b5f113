import Foundation
import Testing

@testable import PocketVL

@Suite struct EngineStepsTests {
    @Test("each graph gives what Python's engine gives", arguments: EngineCases.names)
    func steps(name: String) throws {
        let bundle = try EngineCases.bundle(name)
        let engine = try EngineCases.open(bundle)
        defer { engine.close() }
        let expected = try EngineCases.json(name)["steps"]
        let isExact = try name.hasSuffix("fp32") || EngineCases.isSameRuntime(name)
        let tolerance: Float = isExact ? 1e-5 : 0.03
        try expectNear("image embeddings", expected["image_embeddings"], engine.see(bundle, 64).values, tolerance)
        for step in try expected["decoded"].items {
            let slot = try step["slot"].int
            let hidden = try engine.step(bundle, step["count"].int, at: slot).last
            try expectNear("hidden at \(slot)", step["hidden"], hidden.values, tolerance)
            try expectNear("logits at \(slot)", step["logits"], engine.head(bundle, hidden).values, tolerance)
        }
        let many = try engine.head(bundle, wave(19, bundle.manifest.geometry.text.hiddenSize, 0.5, 4))
        let first = (0..<19).flatMap { row in (0..<8).map { many[row, $0] } }
        try expectNear("logits of 19 rows", expected["logits_of_19"], first, tolerance)
    }

    @Test("what was freed is loaded again and gives the same", arguments: EngineCases.quantized)
    func released(name: String) throws {
        let bundle = try EngineCases.bundle(name)
        let engine = try EngineCases.open(bundle)
        engine.close()  // nothing is loaded yet
        let embeddings = try engine.see(bundle, 16)
        let hidden = try engine.step(bundle, 3, at: 0)
        for _ in 0..<2 { engine.close() }
        #expect(engine.text.cache.count == 0)
        #expect(try engine.see(bundle, 16) == embeddings)
        #expect(try engine.step(bundle, 3, at: 0) == hidden)
        engine.close()
    }

    @Test("two engines have caches of their own, and the head leaves them alone", arguments: EngineCases.quantized)
    func separate(name: String) throws {
        let bundle = try EngineCases.bundle(name)
        let (first, second) = (try EngineCases.open(bundle), try EngineCases.open(bundle))
        _ = try first.step(bundle, 4, at: 0)
        _ = try second.step(bundle, 4, at: 0)
        let expected = try first.step(bundle, 1, at: 4)
        for seed in 0..<3 {
            _ = try second.head(bundle, wave(7, bundle.manifest.geometry.text.hiddenSize, 3, seed))
        }
        _ = try first.step(bundle, 6, at: 0)
        #expect(try second.step(bundle, 1, at: 4) == expected)
        first.close()
        second.close()
    }

    @Test("images are encoded while the decoder runs", arguments: EngineCases.quantized)
    func concurrent(name: String) async throws {
        let bundle = try EngineCases.bundle(name)
        let engine = try EngineCases.open(bundle)
        let embeddings = try engine.see(bundle, 64)
        let hidden = try engine.step(bundle, 2, at: 0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<2 {
                group.addTask {
                    for round in 0..<5 {
                        let seen = try engine.see(bundle, 64)
                        #expect(seen == embeddings)
                        if round == 2 { engine.vision.release() }
                    }
                }
            }
            group.addTask {
                for _ in 0..<30 {
                    let decoded = try engine.step(bundle, 2, at: 0)
                    #expect(decoded == hidden)
                }
            }
            try await group.waitForAll()
        }
        engine.close()
    }

    private func expectNear(
        _ what: String, _ expected: JSON, _ found: [Float], _ tolerance: Float
    ) throws {
        let numbers = try expected.floats
        try #require(numbers.count == found.count, "\(what)")
        let largest = numbers.map(abs).max() ?? 0
        let off = zip(numbers, found).map { abs($0 - $1) }.max() ?? 0
        #expect(off <= tolerance * largest, "\(what): off by \(off), the largest is \(largest)")
    }
}
