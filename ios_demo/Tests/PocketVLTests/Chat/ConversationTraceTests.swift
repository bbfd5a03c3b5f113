import Testing

@testable import PocketVL

/// A chat follows the golden trace of a conversation: slots, positions and what is fed.
@Suite struct ConversationTraceTests {
    private let golden: JSON
    private let turns: [JSON]
    private let chats: Chats
    private let chat: ChatSession

    init() throws {
        golden = try Golden.read("conversation_trace")
        turns = try golden["turns"].items
        chats = try Chats(maxContext: 200)
        chat = try chats.model().chat()
    }

    @Test("nine turns on one cache")
    func nine() async throws {
        let start = await chat.conversation
        var after: [Conversation] = []
        let text = chats.fake.text
        var names: [String: String] = [:]
        for name in ["cat", "house", "dog"] { names[try painted(name).contentKey] = name }
        for turn in turns {
            try await chat.setConversation(turn["after"].asInteger.map { after[$0] } ?? start)
            text.fed = []
            let answer = try await ask(turn)
            let said = await chat.conversation
            let name = try turn["name"].string
            let prompt = try turn["answer_start"].int
            #expect(try turn["prompt_ids"].ints == answer.promptTokenIDs, "\(name)")
            let runs = try turn["images_of_slots"].items.flatMap { run in
                [String?](repeating: run[0].asString, count: try run[1].int)
            }
            #expect(runs == said.feed.mediaKeys.prefix(prompt).map { $0.flatMap { names[$0] } }, "\(name)")
            let positions = said.feed.positions[0..<prompt]
            #expect(
                try turn["positions"].items.map { try $0.ints } == [positions.t, positions.h, positions.w], "\(name)")
            #expect(try turn["kept"].int == answer.statistics.reusedTokens, "\(name)")
            #expect(try turn["fed"].int == answer.statistics.prefillTokens, "\(name)")
            #expect(try turn["kept"].int == text.fed[0].first, "\(name)")
            let fed = try turn["fed"].int + turn["generated"].ints.count - 1
            #expect(text.fed.reduce(0) { $0 + $1.count } == fed, "\(name)")
            #expect(said.answerStart == prompt, "\(name)")
            #expect(try turn["slots"].int == said.feed.count, "\(name)")
            #expect(try await turn["next_position"].int == chat.nextPosition, "\(name)")
            #expect(try turn["cached_slots"].int == text.cache.count, "\(name)")
            after.append(said)
        }
        #expect(after.count == 9)
    }

    @Test("an answer made anew follows the trace, as regenerate and as a whole list of messages")
    func again() async throws {
        for turn in turns.prefix(2) + [turns[3]] { _ = try await ask(turn) }
        let again = turns[4]
        chats.fake.text.follow(try again["generated"].ints)
        let answer = try await chat.regenerate(tokens(9)).answer()
        #expect(try again["prompt_ids"].ints == answer.promptTokenIDs)
        #expect(answer.statistics.prefillTokens == 1)
        #expect(try await again["slots"].int == chat.conversation.feed.count)
        var whole: [Message] = []
        for turn in turns.prefix(2) {
            whole += try turn["messages"].items.map(message)
            whole.append(Message(.assistant, chats.tokenizer.decode(try turn["generated"].ints)))
        }
        whole += try again["messages"].items.map(message)
        chats.fake.text.follow(try again["generated"].ints)
        let given = try await chat.ask(.messages(whole), tokens(9)).answer()
        #expect(try again["prompt_ids"].ints == given.promptTokenIDs)
        #expect(given.statistics.prefillTokens == 1)
    }

    private func ask(_ turn: JSON) async throws -> Answer {
        let messages = try turn["messages"].items.map(message)
        let generated = try turn["generated"].ints
        chats.fake.text.follow(generated)
        let content: Content = messages[0].role == .system ? .messages(messages) : .parts(messages[0].parts)
        return try await chat.ask(content, tokens(generated.count)).answer()
    }

    private func message(_ value: JSON) throws -> Message {
        let role = try #require(Role(rawValue: try value["role"].string))
        if let text = value["content"].asString { return Message(role, text) }
        return Message(
            role,
            try value["content"].items.map { part -> Part in
                if let name = part["image"].asString { return .image(try painted(name)) }
                return .text(try part["text"].string)
            })
    }

    /// Red, green and blue.
    private func painted(_ name: String) throws -> RgbImage {
        let size = golden["images"][name]
        let (width, height) = (try size["width"].int, try size["height"].int)
        let channel = try #require(["cat", "house", "dog"].firstIndex(of: name))
        return try RgbImage(
            width: width, height: height, pixels: (0..<3 * width * height).map { $0 % 3 == channel ? 255 : 0 })
    }
}
