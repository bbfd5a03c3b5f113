import Foundation
import Testing

@testable import PocketVL

/// From folder, pixels and words to tokens through the public API, against Python with the same bundle.
@Suite struct EndToEndTests {
    private func open(_ name: String) async throws -> Model {
        try await PocketVL.load(
            EngineCases.url(name), engine: EngineCases.factory, options: LoadOptions(threads: 1))
    }

    @Test("every conversation gets Python's tokens", arguments: EngineCases.names)
    func conversations(name: String) async throws {
        let cases = try QuestionCases(name)
        let model = try await open(name)
        let chat = try model.chat(cases.chat)
        var other: [String] = []
        for (title, turns) in cases.conversations {
            try await chat.reset()
            for (number, turn) in turns.enumerated() {
                let answer = try await chat.answer(to: .parts(turn.parts), cases.ask)
                #expect(answer.promptTokenIDs.count == turn.promptTokens, "\(title), turn \(number)")
                if answer.tokenIDs != turn.ids {
                    other.append("\(title), turn \(number): \(answer.text) for \(turn.text)")
                    break  // what follows another answer is another conversation
                }
                #expect(answer.text == turn.text)
            }
        }
        let count = cases.conversations.count
        print("\(name): \(count - other.count) of \(count) conversations alike")
        // Where the versions of the runtimes differ, a quantized model decides toss-ups otherwise.
        let isExact = try name.hasSuffix("fp32") || EngineCases.isSameRuntime(name)
        #expect(other.count <= (isExact ? 0 : count / 10), "\(other)")
        try model.close()
    }

    @Test("a restored conversation goes on as it would have", arguments: EngineCases.threaded)
    func restored(name: String) async throws {
        let cases = try QuestionCases(name)
        let turns = try cases.turns("three turns")
        let folder = TemporaryFolder()
        let file = folder.url.appendingPathComponent("saved.chat")
        let first = try await open(name)
        let chat = try first.chat(cases.chat)
        #expect(try await chat.answer(to: .parts(turns[0].parts), cases.ask).tokenIDs == turns[0].ids)
        try await chat.save(to: file)
        try first.close()
        let second = try await open(name)
        let restored = try await second.loadChat(file)
        let answer = try await restored.answer(to: .parts(turns[1].parts), cases.ask)
        #expect(answer.tokenIDs == turns[1].ids)
        #expect(answer.statistics.reusedTokens > 0)
        #expect(try await restored.answer(to: .parts(turns[2].parts), cases.ask).tokenIDs == turns[2].ids)
        try second.close()
    }

    @Test("memory that is given back between questions changes no token", arguments: EngineCases.threaded)
    func released(name: String) async throws {
        let cases = try QuestionCases(name)
        let model = try await open(name)
        let chat = try model.chat(cases.chat)
        for turn in try cases.turns("three turns") {
            #expect(try await chat.answer(to: .parts(turn.parts), cases.ask).tokenIDs == turn.ids)
            try await model.releaseVision()
            try await model.releaseText()
        }
        try model.close()
    }
}
