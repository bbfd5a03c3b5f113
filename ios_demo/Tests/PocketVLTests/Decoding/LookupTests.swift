import Testing

@testable import PocketVL

@Suite struct LookupTests {
    @Test("drafts are the golden ones")
    func drafts() throws {
        for one in try Golden.read("lookup")["drafts"].items {
            let index = NgramIndex(try one["tokens"].ints, never: Set(try one["never"].ints))
            let match = index.match()
            #expect(try match?.ngram ?? 0 == one["ngram"].int, "\(one)")
            #expect(try match?.follows ?? 0 == one["follows"].int, "\(one)")
            #expect(try match.map { index.draft($0, length: 15) } ?? [] == one["drafts"].ints, "\(one)")
        }
    }

    @Test("lengths of drafts are the golden ones")
    func lengths() throws {
        for one in try Golden.read("lookup")["lengths"].items {
            let costs = Dictionary(uniqueKeysWithValues: zip([2, 4, 8, 16], try one["costs"].doubles))
            let length = DraftLength.best(
                acceptance: try one["acceptance"].double, costs: costs, limit: try one["limit"].int)
            #expect(try length == one["length"].int, "\(one)")
        }
    }

    @Test("costs are medians, a size that was not timed costs a little more than the one before")
    func costs() throws {
        let costs = PassCosts()
        #expect(costs.relative() == nil)
        for seconds in [3.0, 1, 2] { costs.note(rows: 1, seconds: seconds) }
        costs.note(rows: 3, seconds: 5)  // counts for four rows
        let relative = try #require(costs.relative())
        #expect(abs((relative[2] ?? 0) - 1.2) < 1e-9)
        #expect(relative[4] == 2.5)
        #expect(abs((relative[8] ?? 0) - 3.3) < 1e-9)
    }

    @Test("what quotes the prompt is drafted, and accepted drafts are counted")
    func proposer() {
        let costs = PassCosts()
        let prompt = Array(1...20)
        let lookup = PromptLookup(prompt: prompt + prompt, never: [], costs: costs)
        #expect(lookup.propose(limit: 15).isEmpty)  // nothing was timed
        for rows in [1, 2, 4, 8, 16] { costs.note(rows: rows, seconds: 1) }
        for token in prompt { lookup.add(token) }
        #expect(lookup.propose(limit: 3) == [1, 2, 3])
        lookup.add(1)
        lookup.add(5)
        lookup.add(2)
        #expect(lookup.accepted == 1)
    }
}
