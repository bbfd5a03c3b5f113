import PocketVL
import Testing

@testable import PocketVLUI

@Suite struct MemoryPolicyTests {
    @Test("the need is counted by component")
    func need() throws {
        let need = MemoryPolicy.need(try manifest())
        #expect(need.weights == 970_000_000)
        #expect(need.vision == 680_000_000 + 1024 * (1176 + 8 * 1280 + 2 * 5120) * 4)
        #expect(need.cache == 117_440_512)  // 28 layers, keys and values of 2 heads of 128 floats, 2048 tokens
        #expect(need.total == need.weights + need.vision + need.cache + need.working)
    }

    @Test("files of the vision encoder are told by their names in every target")
    func files() throws {
        let packages = [
            ("vision_encoder.mlpackage/Data/weights", 5), ("onnx/vision_encoder_int8.onnx_data", 70),
            ("text_decoder_0.mlpackage/Data/weights", 900), ("head.mlpackage/Data/weights", 3),
        ]
        let need = MemoryPolicy.need(try manifest(files: packages, buckets: [4]))
        #expect(need.vision == 75 + 4 * (1176 + 8 * 1280 + 2 * 5120) * 4)
        #expect(need.weights == 903)
    }

    @Test(
        "a bundle that needs 1000 bytes",
        arguments: [
            (Memory(available: 1000, total: 2000, process: 0), MemoryVerdict.fits),
            (Memory(available: 999, total: 2000, process: 1), .tight),
            (Memory(available: 999, total: 2000, process: 0), .tooLarge),
            (Memory(available: 900, total: 2000, process: 500), .tight),
            (Memory(available: 3000, total: 999, process: 0), .tooLarge),
        ])
    func verdict(memory: Memory, expected: MemoryVerdict) {
        let need = MemoryNeed(weights: 400, vision: 300, cache: 200, working: 100)
        #expect(MemoryPolicy.verdict(need, memory) == expected)
    }

    @Test(
        "the less is left, the more a warning gives back",
        arguments: [
            (MemoryEvent.enteredBackground, 0, Release.vision), (.warning, 2_000_000_000, .vision),
            (.warning, 500_000_000, .vision), (.warning, 499_999_999, .cache), (.warning, 150_000_000, .cache),
            (.warning, 149_999_999, .weights), (.warningInBackground, 2_000_000_000, .weights),
            (.critical, 2_000_000_000, .weights),
        ])
    func release(event: MemoryEvent, available: Int, expected: Release) {
        #expect(MemoryPolicy.release(on: event, available: available) == expected)
    }
}

@Suite struct ThermalPolicyTests {
    @Test(
        "state and Low Power Mode count together",
        arguments: [
            (ThermalState.nominal, false, Warmth.cool), (.nominal, true, .warm), (.fair, false, .warm),
            (.fair, true, .hot), (.serious, false, .hot), (.serious, true, .veryHot), (.critical, false, .tooHot),
            (.critical, true, .tooHot),
        ])
    func warmth(state: ThermalState, isLowPower: Bool, expected: Warmth) {
        #expect(ThermalPolicy.warmth(Thermal(state: state, isLowPower: isLowPower)) == expected)
    }

    @Test("the warmer, the fewer frames, and none when it is too hot")
    func intervals() {
        let intervals = Warmth.allCases.map(ThermalPolicy.frameInterval)
        let some = intervals.compactMap { $0 }
        #expect(some.count == 4 && some == some.sorted() && Set(some).count == 4)
        #expect(intervals.last == .some(nil))
    }

    @Test("warmth rises at once and falls step by step after calm")
    func follower() {
        var follower = WarmthFollower()
        let critical = Thermal(state: .critical, isLowPower: false)
        #expect(follower.observe(critical, now: 0) == .tooHot)
        #expect(follower.observe(cool, now: 1) == .tooHot)
        #expect(follower.observe(cool, now: 30.9) == .tooHot)
        #expect(follower.observe(cool, now: 31) == .veryHot)
        #expect(follower.observe(cool, now: 60.9) == .veryHot)
        #expect(follower.observe(cool, now: 61) == .hot)
        #expect(follower.observe(Thermal(state: .serious, isLowPower: false), now: 62) == .hot)
        #expect(follower.observe(cool, now: 63) == .hot)  // a warm reading begins the calm anew
        #expect(follower.observe(cool, now: 92) == .hot)
        #expect(follower.observe(cool, now: 93) == .warm)
    }
}
