import Testing

@testable import PocketVL

@Suite struct SamplerTests {
    @Test("candidates and their probabilities are the golden ones")
    func candidates() throws {
        for one in try Golden.read("sampler")["cases"].items {
            var sampler = try Sampler(
                temperature: one["temperature"].double, topK: one["top_k"].int, topP: one["top_p"].double,
                repetitionPenalty: one["repetition_penalty"].double)
            let logits = try one["logits"].doubles.map(Float.init)
            let never = Set(try one["never"].ints)
            let found = try sampler.candidates(logits[...], seen: one["seen"].ints, never: never)
            let sorted = zip(found.ids, found.probabilities).sorted { $0.0 < $1.0 }
            #expect(try sorted.map(\.0) == one["ids"].ints)
            for (probability, expected) in zip(sorted.map(\.1), try one["probabilities"].doubles) {
                #expect(abs(probability - expected) < 1e-6)
            }
            let drawn = try sampler.sample(logits[...], seen: one["seen"].ints, never: never)
            #expect(found.ids.contains(drawn))
        }
    }

    @Test("log-probabilities are the golden ones")
    func logprobs() throws {
        for one in try Golden.read("sampler")["logprobs"].items {
            let logits = try one["logits"].doubles.map(Float.init)
            let found = Logprobs(logits[...], token: try one["token"].int, count: try one["count"].int, never: [])
            #expect(try abs(found.drawn.logprob - one["logprob"].double) < 1e-5)
            #expect(try found.top.map(\.tokenID) == one["top"].items.map { try $0[0].int })
            for (noted, expected) in zip(found.top, try one["top"].items) {
                #expect(try abs(noted.logprob - expected[1].double) < 1e-5)
            }
        }
        #expect(Logprobs([0, 5, 1], token: 0, count: 3, never: [1]).top.map(\.tokenID) == [2, 0])
    }

    @Test("the same seed draws the same tokens, by their probabilities")
    func seeds() throws {
        var first = try Sampler(temperature: 1, seed: 7)
        var second = try Sampler(temperature: 1, seed: 7)
        var counts = [0, 0]
        for _ in 0..<4000 {
            let token = try first.sample([0, 1.0986123])  // 1 : 3
            #expect(try second.sample([0, 1.0986123]) == token)
            counts[token] += 1
        }
        #expect((900...1100).contains(counts[0]))
    }

    @Test("values that cannot be meant are refused")
    func refused() throws {
        #expect(try refusal { _ = try Sampler(temperature: -1) } != nil)
        #expect(try refusal { _ = try Sampler(temperature: .nan) } != nil)
        #expect(try refusal { _ = try Sampler(topK: -1) } != nil)
        #expect(try refusal { _ = try Sampler(topP: 0) } != nil)
        #expect(try refusal { _ = try Sampler(topP: 1.5) } != nil)
        #expect(try refusal { _ = try Sampler(repetitionPenalty: 0) } != nil)
        #expect(try refusal { _ = try Chooser(Sampler(), never: [], logprobs: 21) } != nil)
    }

    @Test("logits that are no numbers to choose by are refused", arguments: [0, 0.5])
    func damaged(temperature: Double) throws {
        var sampler = try Sampler(temperature: temperature)
        let damaged: [[Float]] = [[1, .nan, 2], [.infinity, 1], [-.infinity, -.infinity], []]
        for logits in damaged {
            let error = try refusal { _ = try sampler.sample(logits[...]) }
            guard case .engine = error else {
                Issue.record("\(logits) gave \(String(describing: error))")
                continue
            }
        }
        #expect(try refusal { _ = try sampler.sample([1, 2], never: [0, 1, 7]) } != nil)
    }

    @Test("ranking takes the best, of equals the lowest id")
    func ranking() {
        let scores: [Float] = [3, 1, 3, 7, -1, 7, 0]
        for count in 0...8 {
            let expected = scores.indices.sorted { (-scores[$0], $0) < (-scores[$1], $1) }.prefix(count)
            #expect(Ranking.best(count, of: scores.count) { scores[$0] } == Array(expected))
        }
    }
}
