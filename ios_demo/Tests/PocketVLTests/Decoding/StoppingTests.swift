import Testing

@testable import PocketVL

@Suite struct StoppingTests {
    @Test("repetition is found where the golden file says")
    func repetition() throws {
        for one in try Golden.read("repetition")["cases"].items {
            let blocks = try (0..<one["count"].int).flatMap { _ in try one["block"].ints }
            let tokens = try one["head"].ints + blocks + one["tail"].ints
            #expect(try Repetition.repeats(tokens) == one["repeats"].bool, "\(one)")
        }
    }

    @Test("an answer ends for the first reason there is")
    func reasons() {
        let rule = StopRule(eos: [9], maxTokens: 3, room: 2, repetition: true)
        #expect(rule.most == 3)
        #expect(rule.reason([9], cancelled: true) == .stop)
        #expect(rule.reason([1], cancelled: true, isWhole: true) == .stop)
        #expect(rule.reason([1], cancelled: true) == .cancelled)
        #expect(rule.reason([1, 2, 3], cancelled: false) == .length)
        #expect(rule.reason([1, 2], cancelled: false) == nil)
        #expect(rule.reason([], cancelled: false) == nil)
        let long = StopRule(eos: [], maxTokens: .max, room: 2, repetition: true)
        #expect(long.most == 3)
        #expect(long.reason([1, 2, 3], cancelled: false) == .context)
        let free = StopRule(eos: [], maxTokens: .max, room: .max, repetition: true)
        let same = [Int](repeating: 4, count: 128)
        #expect(free.most == .max)
        #expect(free.reason(same, cancelled: false) == .repetition)
        #expect(StopRule(eos: [], maxTokens: .max, room: .max, repetition: false).reason(same, cancelled: false) == nil)
    }
}
