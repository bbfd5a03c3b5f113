import Foundation
import PocketVL
import Testing

@testable import PocketVLUI

@MainActor
@Suite struct BenchmarkTests {
    /// A clock that goes on by a second at each look.
    private func clock() -> @Sendable () -> Double {
        let now = Shared(0.0)
        return {
            now.value += 1
            return now.value
        }
    }

    @Test("each stage runs as often as it says, on inputs of the right sizes")
    func timer() throws {
        let engine = FakeEngine()
        let manifest = try manifest(buckets: [16, 64], maxContext: 64, prefillChunk: 8)
        let timer = StageTimer(
            manifest: manifest, engine: Engine(vision: engine, text: engine), clock: clock())
        var steps: [Step] = []
        let settings = BenchmarkSettings(repeats: 2, prefillTokens: 12, decodeTokens: 3)
        let timings = try timer.run(settings) { steps.append($0) }
        var expected = ["release", "close"]
        expected += Array(repeating: "encode 16", count: 3) + Array(repeating: "encode 64", count: 2)
        expected.append("release")
        for _ in 0..<3 { expected += ["decode 8 at 0", "decode 4 at 8"] }
        expected.append("logits 1")
        for slot in 12..<15 { expected += ["decode 1 at \(slot)", "logits 1"] }
        #expect(engine.log.lines == expected)
        #expect(timings.vision.map(\.tokens) == [4, 16] && timings.prefill.rate == 12 && timings.decode.rate == 1)
        #expect(steps.first == Step(stage: .vision, done: 0, total: 5) && steps.count == 5 + 3 + 3)
        let claim = try engine.cache.claim()  // is free again
        claim.release()
    }

    @Test("settings that do not fit are refused, and small contexts get smaller ones")
    func settings() throws {
        let timer = StageTimer(manifest: try manifest(maxContext: 64), engine: FakeEngine.make(), clock: clock())
        for settings in [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 60, 5)] {
            let (repeats, prefill, decode) = settings
            #expect(throws: PocketVLError.self) {
                try timer.run(
                    BenchmarkSettings(repeats: repeats, prefillTokens: prefill, decodeTokens: decode)
                ) { _ in }
            }
        }
        let fitting = BenchmarkSettings().fitting(64)
        #expect(fitting.prefillTokens == 32 && fitting.decodeTokens == 16)
    }

    @Test("the report says what was timed, and nothing of the user")
    func report() async throws {
        let folder = try TemporaryFolder()
        let source = FakeSource(manifest: try manifest(buckets: [16], maxContext: 64))
        let memory = FakeMemory()
        let holder = ModelHolder(
            source: source, memory: memory,
            firstLoads: FirstLoads(file: folder.url.appendingPathComponent("loads"), system: "18.2"))
        let device = Device(model: "iPhone17,1", system: "iOS 18.2", cores: 6, memory: 8_000_000_000)
        let view = BenchmarkViewModel(
            holder: holder, device: device, memory: memory, thermal: FakeThermal(), clock: clock())
        #expect(!view.canStart)
        await holder.choose(int4).value
        #expect(view.canStart)
        view.start()
        await until("it has run") { !view.state.isRunning }
        #expect(view.state.message == nil && view.state.canShare)
        let text = try #require(view.state.report?.json())
        let parsed = try JSON.parse(text)
        let json = try #require(parsed.asObject)
        #expect(json["schema"]?.asString == "pocketvl-benchmark" && json["version"]?.asInteger == 1)
        #expect(json["device"]?.asObject?["model"]?.asString == "iPhone17,1")
        #expect(json["settings"]?.asObject?["decode_tokens"]?.asInteger == 16)
        #expect(json["decode"]?.asObject?["tokens_per_second"]?.asDouble == 1)
        #expect(json["after"]?.asObject?["thermal_status"]?.asString == "nominal")
        #expect(
            json.members.map(\.key) == [
                "schema", "version", "device", "bundle", "settings", "load_seconds", "vision", "prefill", "decode",
                "before", "after",
            ])
    }
}
