import Foundation
import PocketVL
import Testing

@testable import PocketVLUI

@Suite struct CoreModelsTests {
    @Test("warming up runs each graph once and leaves an empty cache")
    func warmup() throws {
        let engine = FakeEngine()
        let warmup = Warmup(
            manifest: try manifest(buckets: [64, 16]), engine: Engine(vision: engine, text: engine))
        try warmup.run(vision: false)
        #expect(engine.log.lines == ["decode 1 at 0", "logits 1"])
        try warmup.run(vision: true)
        #expect(engine.log.lines.dropFirst(2) == ["encode 16", "release", "decode 1 at 0", "logits 1"])
        #expect(engine.cache.count == 0)
        let claim = try engine.cache.claim()  // is free again
        claim.release()
    }

    @Test("a bundle is inspected and verified, its hashes remembered")
    func verify() async throws {
        let (folder, stamps) = (try TemporaryFolder(), try TemporaryFolder())
        try writeGoldenBundle("onnx", into: folder.url)
        let models = CoreModels(
            engine: { _, _ in FakeEngine.make() }, photos: FakePhotos(names: []), stamps: stamps.url)
        #expect(try await models.inspect(folder.url).target == "onnx")
        let seen = Shared(0)
        try await models.verify(folder.url, always: true) { done, total in seen.value = max(seen.value, done) }
        #expect(seen.value > 0)
        try folder.write("tokenizer.json", "{}")
        await #expect(throws: PocketVLError.self) {
            try await models.verify(folder.url, always: false) { _, _ in }
        }
    }
}
