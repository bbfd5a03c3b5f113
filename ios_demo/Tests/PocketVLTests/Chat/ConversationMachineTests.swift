import Foundation
import Testing

@testable import PocketVL

/// Whatever is done to a conversation, its answer is the one of a fresh engine that is fed all of it.
///
/// POCKETVL_STEPS=20000 and POCKETVL_SEED=1 make more and other steps.
@Suite struct ConversationMachineTests {
    @Test("a conversation is its tokens alone")
    func machine() async throws {
        let environment = ProcessInfo.processInfo.environment
        var machine = try Machine(seed: environment["POCKETVL_SEED"].flatMap(UInt64.init) ?? 0)
        let steps = environment["POCKETVL_STEPS"].flatMap(Int.init) ?? 60
        for _ in 0..<steps { try await machine.step() }
        #expect(machine.answers > steps / 5)
    }
}

private struct Machine {
    private var random: Seeded
    private let chats: Chats
    private let model: Model
    private let fresh: FakeEngine
    private let oracle: ChatSession
    private let other: ChatSession
    private var chat: ChatSession
    private var kept: [Conversation]
    private var saved: Conversation?
    private(set) var answers = 0

    init(seed: UInt64) throws {
        random = Seeded(seed)
        chats = try Chats()
        model = try chats.model()
        fresh = chats.engine()
        oracle = try chats.model(fresh).chat()
        other = try model.chat()
        chat = try model.chat(ChatOptions(keepVision: true))
        kept = []
    }

    mutating func step() async throws {
        switch below(14) {
        case 0: try await ask(.parts([text()]))
        case 1: try await ask(.parts([try picture(), text()]))
        case 2:
            guard case .image(let source?, _) = try picture() else { return }
            try await ask(.parts([.image(try await chat.encodeImage(source)), text()]))
        case 3:
            var whole: [Message] = below(2) == 0 ? [Message(.system, words())] : []
            var parts: [Part] = []
            for _ in 0..<below(3) { parts.append(try picture()) }
            whole += [
                Message(.user, parts + [text()]), Message(.assistant, words()), Message(.user, words()),
            ]
            try await ask(.messages(whole))
        case 4:
            let history = await chat.conversation.messages.dropLast(below(2) * 2)
            try await ask(.messages(history + [Message(.user, words())]))
        case 5:
            if let before = await chat.conversation.before { try await chat.setConversation(before) }
            try await ask(.parts([text()]))
        case 6:
            guard await chat.conversation.before != nil else { return }
            _ = try await chat.regenerate(tokens(1 + below(4))).answer()
            try await check()
        case 7: kept = kept.suffix(3) + [await chat.conversation]
        case 8:
            if !kept.isEmpty { try await chat.setConversation(kept[below(kept.count)]) }
        case 9:
            try await other.reset()
            _ = try await other.ask([try picture(), text()], tokens(1)).answer()
        case 10:
            try await chat.save(to: chats.file("saved"))
            saved = await chat.conversation
        case 11: try await restore()
        case 12: try await cancel()
        default:
            if below(2) == 0 { try await model.releaseText() } else { try await chat.reset() }
        }
    }

    private mutating func ask(_ content: Content) async throws {
        var options = tokens(1 + below(4))
        options.lookup = below(4) == 0
        let answer: Answer
        do {
            answer = try await chat.ask(content, options).answer()
        } catch {
            guard case .context = error else { throw error }
            try await chat.reset()
            return
        }
        #expect(answer.promptTokenIDs.count == answer.statistics.reusedTokens + answer.statistics.prefillTokens)
        try await check()
    }

    /// The last answer's tokens are those that a fresh engine gives.
    private mutating func check() async throws {
        let said = await chat.conversation
        let own = Array(said.feed.tokenIDs.dropFirst(said.answerStart))
        fresh.text.close()
        try await oracle.setConversation(said)
        let expected = try await oracle.regenerate(tokens(max(1, own.count))).answer()
        #expect(Array(said.feed.tokenIDs.prefix(said.answerStart)) == expected.promptTokenIDs)
        if !own.isEmpty { #expect(expected.tokenIDs == own) }
        answers += 1
    }

    private mutating func restore() async throws {
        guard let expected = saved else { return }
        if below(2) == 0 { try await model.releaseText() }
        chat = try await model.loadChat(chats.file("saved"), keepVision: true)
        let found = await chat.conversation
        #expect(expected.feed.slots == found.feed.slots)
        #expect(expected.messages.count == found.messages.count)
        #expect(expected.imageSizes == found.imageSizes)
    }

    private mutating func cancel() async throws {
        let before = await chat.conversation
        let parts = [try picture(), text()]
        var count = 1 + below(4)
        for await event in chat.ask(parts, tokens(30)) {
            if case .failed(.context, _) = event { try await chat.reset() }
            count -= 1
            if count == 0 { break }
        }
        let chat = chat
        try await eventually { (try? await chat.setConversation(chat.conversation)) != nil }
        let said = await chat.conversation
        if said.feed.count != before.feed.count && said.before != nil { try await check() }
    }

    private mutating func below(_ count: Int) -> Int { Int.random(in: 0..<count, using: &random) }

    private mutating func words() -> String {
        let all = ["one", "two", "red", "where", "日本"]
        return (0...below(7)).map { _ in all[below(all.count)] }.joined(separator: " ")
    }

    private mutating func text() -> Part { .text(words()) }

    /// Of two sizes; those of one size have equal tokens.
    private mutating func picture() throws -> Part {
        let seed = below(4)
        return .image(try noise(UInt64(seed), width: 56 + 28 * (seed % 2), height: 56))
    }
}
