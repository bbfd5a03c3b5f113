import Foundation
import Testing

@testable import PocketVL

@Suite struct ChatTests {
    private let chats: Chats
    private let model: Model
    private let chat: ChatSession

    init() throws {
        chats = try Chats()
        model = try chats.model()
        chat = try model.chat()
    }

    @Test("events are started, pieces of text, and one completed")
    func events() async throws {
        let events = await chat.ask(try about(1), tokens(12)).all()
        guard case .started(let prompt, let reused) = events.first else {
            Issue.record("the first is \(events.first as Any)")
            return
        }
        let answer = try #require(events.last?.answer)
        #expect((prompt, reused) == (answer.promptTokenIDs.count, 0))
        let pieces = events.compactMap { if case .text(let piece) = $0 { piece } else { nil } }
        #expect(pieces.joined() == answer.text)
        #expect(pieces.allSatisfy { !$0.isEmpty })
        #expect(events.count == pieces.count + 2)
        #expect(events.count { $0.isLast } == 1)
        #expect(answer.statistics.imagesEncoded == 1)
        #expect(answer.statistics.timeToFirstToken > 0)
        #expect(await chat.conversation.messages.count == 2)
    }

    @Test("boxes of an answer are in pixels, and those of a question in thousandths")
    func boxes() async throws {
        let said =
            "<|object_ref_start|>sign<|object_ref_end|><|box_start|>(100,500),(500,1000)<|box_end|><|im_end|>"
        chats.fake.text.follow(chats.tokenizer.encodeTemplate(said))
        let box = try Shape(.box, [0, 0, 42, 56], unit: .pixels(image: nil))
        let parts: [Part] = [.image(try noise(1, width: 84, height: 112)), .shape(box), .text("?")]
        let answer = try await chat.ask(parts, tokens(90)).answer()
        #expect(answer.text == "sign (100,500),(500,1000)")
        #expect(answer.boxes == [Box(label: "sign", image: 0, x1: 8.4, y1: 56, x2: 42, y2: 112)])
        let prompt = chats.tokenizer.decode(answer.promptTokenIDs, skipSpecial: false)
        #expect(prompt.contains("<|box_start|>(0,0),(500,500)<|box_end|>"))
        #expect(await chat.conversation.imageSizes == [PixelSize(height: 112, width: 84)])
    }

    @Test("a stop string ends the answer before it, and is not in what follows")
    func stop() async throws {
        chats.fake.text.follow(chats.tokenizer.encode("one two three four"))
        var options = tokens(50)
        options.stop = [" three"]
        let answer = try await chat.ask("Count", options).answer()
        #expect((answer.text, answer.stopString) == ("one two", " three"))
        #expect(answer.stopReason == .stop)
        let said = await chat.conversation
        #expect(said.messages.last?.says(Message(.assistant, "one two")) == true)
        let kept = Array(said.feed.tokenIDs[said.answerStart...])
        #expect(chats.tokenizer.decode(kept) == "one two")
    }

    @Test("a stop string within a character of several tokens leaves whole characters")
    func stopInCharacter() async throws {
        chats.fake.text.follow(chats.tokenizer.encode("ab日本"))
        var options = tokens(50)
        options.stop = ["b日"]
        let answer = try await chat.ask("Count", options).answer()
        #expect(answer.text == "a")
        let said = await chat.conversation
        #expect(chats.tokenizer.decode(Array(said.feed.tokenIDs[said.answerStart...])) == "a")
    }

    @Test("a question is measured without encoding")
    func measured() async throws {
        let counted = try await chat.countTokens(.parts(about(1)))
        #expect(chats.fake.vision.encoded == 0)
        #expect(try await chat.ask(about(1), tokens(1)).answer().promptTokenIDs.count == counted)
        let measured = try await chat.measureImage(noise(1, width: 900, height: 700))
        #expect((1...16).contains(measured.tokens) && measured.width % 28 == 0)
        #expect(measured.tokens == measured.width * measured.height / 28 / 28)
        let free = await chat.freeContext
        #expect(await free == chat.maxContext - chat.conversation.feed.count)
    }

    @Test("an image encoded ahead is asked about without the encoder")
    func ahead() async throws {
        let expected = try await chat.ask(about(5), tokens(5)).answer()
        try await chat.reset()
        let encoded = try await chat.encodeImage(noise(5))
        let count = chats.fake.vision.encoded
        let answer = try await chat.ask([.image(encoded), .text("What?")], tokens(5)).answer()
        #expect(expected.tokenIDs == answer.tokenIDs)
        #expect(chats.fake.vision.encoded == count)
    }

    @Test("the encoder is released after each turn with images, unless it is kept")
    func released() async throws {
        _ = try await chat.ask(about(1), tokens(1)).answer()
        _ = try await chat.ask("And?", tokens(1)).answer()
        #expect(chats.fake.vision.released == 1)
        _ = try await model.chat(ChatOptions(keepVision: true)).ask(about(2), tokens(1)).answer()
        #expect(chats.fake.vision.released == 1)
        try await model.releaseVision()
        #expect(chats.fake.vision.released == 2)
    }

    @Test("an encoder that fails is released, and the conversation stays")
    func failing() async throws {
        chats.fake.onEncode = { call throws(PocketVLError) in if call == 2 { throw .engine("no memory") } }
        let parts = try about(1) + about(2)
        #expect(await chat.ask(parts, tokens(2)).failure() == .engine("no memory"))
        #expect(await chat.conversation.messages.isEmpty)
        #expect(chats.fake.vision.released == 1)
        #expect(try await chat.ask(parts, tokens(2)).answer().statistics.imagesEncoded == 1)
    }

    @Test("seeded sampling repeats, and another seed differs")
    func seeds() async throws {
        func draw(_ seed: UInt64) async throws -> [Int] {
            try await chat.reset()
            let options = AskOptions(maxTokens: 12, sampling: Sampling(temperature: 5, seed: seed))
            return try await chat.ask("What?", options).answer().tokenIDs
        }
        let first = try await draw(1)
        #expect(try await draw(1) == first)
        #expect(try await draw(2) != first)
    }

    @Test("drafts change no token, and logprobs are those of each token")
    func lookup() async throws {
        let question = "one two three one two three one two three one two"
        var options = tokens(40)
        options.logprobs = 2
        let plain = try await chat.ask(question, options).answer()
        #expect(plain.logprobs.map(\.drawn.tokenID) == plain.tokenIDs)
        #expect(plain.logprobs.allSatisfy { $0.top.count == 2 && $0.top[0] == $0.drawn })
        try await chat.reset()
        options.lookup = true
        #expect(try await chat.ask(question, options).answer().tokenIDs == plain.tokenIDs)
    }

    @Test("options that cannot be meant are refused")
    func options() async throws {
        let wrong = [
            AskOptions(maxTokens: 0), AskOptions(sampling: Sampling(temperature: -1)), AskOptions(logprobs: 21),
            AskOptions(stop: [""]),
        ]
        for options in wrong {
            guard case .usage = await chat.ask("Hi", options).failure() else {
                Issue.record("\(options) was taken")
                continue
            }
        }
        #expect(try refusal { _ = try model.chat(ChatOptions(minPixels: 9, maxPixels: 8)) } != nil)
        #expect(await chat.ask([Part]()).failure()?.isPrompt == true)
        let long = String(repeating: "word ", count: 500)
        guard case .context = await chat.ask(long).failure() else {
            Issue.record("too long a prompt was taken")
            return
        }
    }

    @Test("a placeholder that the model generated is a token like any other")
    func placeholder() async throws {
        let pad = chats.manifest.specialTokens.imagePad
        chats.fake.text.follow([pad, pad, pad])
        let first = try await chat.ask(about(1), tokens(3)).answer()
        #expect(first.tokenIDs == [pad, pad, pad])
        #expect(try await chat.ask(about(2), tokens(2)).answer().nextPosition > first.nextPosition)
    }

    @Test("a second turn continues the first and feeds only what is new, whatever another chat asked meanwhile")
    func continued() async throws {
        let other = try model.chat()
        let first = try await chat.ask(about(1), tokens(5)).answer()
        let second = try await chat.ask("And now?", tokens(5)).answer()
        #expect(second.promptTokenIDs.count == second.statistics.reusedTokens + second.statistics.prefillTokens)
        #expect(second.statistics.reusedTokens >= first.promptTokenIDs.count + 4)
        let before = try #require(await chat.conversation.before)
        _ = try await other.ask(about(2), tokens(4)).answer()  // of the same size: equal ids, other keys and values
        try await chat.setConversation(before)
        let again = try await chat.ask("And now?", tokens(5)).answer()
        #expect(again.tokenIDs == second.tokenIDs)
        #expect(again.statistics.imagesEncoded == 0)
        let fresh = try chats.model(chats.engine()).chat()
        _ = try await fresh.ask(about(1), tokens(5)).answer()
        #expect(try await fresh.ask("And now?", tokens(5)).answer().tokenIDs == second.tokenIDs)
    }

    @Test("an answer is made anew by one token")
    func regenerated() async throws {
        _ = try await chat.ask("one two", tokens(3)).answer()
        let middle = await chat.conversation
        let first = try await chat.ask(about(3), tokens(6)).answer()
        let again = try await chat.regenerate(tokens(6)).answer()
        #expect((first.tokenIDs, first.promptTokenIDs) == (again.tokenIDs, again.promptTokenIDs))
        #expect((again.statistics.imagesEncoded, again.statistics.prefillTokens) == (0, 1))
        #expect(await chat.conversation.before?.feed.tokenIDs == middle.feed.tokenIDs)
        #expect(await chat.conversation.messages.count == 4)
        try await chat.reset()
        #expect(await chat.regenerate().failure()?.message.contains("no answer to make anew") == true)
    }

    @Test("messages that repeat the conversation go on by its own ids")
    func repeated() async throws {
        chats.fake.text.follow([72, 101, 108, 108, 111])
        let first = try await chat.ask(about(1), tokens(5)).answer()
        chats.fake.text.follow([])
        func whole(_ answer: String, _ seed: UInt64 = 1) throws -> Content {
            .messages([Message(.user, try about(seed)), Message(.assistant, answer), Message(.user, "And now?")])
        }
        let second = try await chat.ask(whole(first.text), tokens(3)).answer()
        #expect(Array(second.promptTokenIDs.dropFirst(first.promptTokenIDs.count).prefix(5)) == first.tokenIDs)
        #expect(second.statistics.reusedTokens >= first.promptTokenIDs.count + 4)
        #expect((second.statistics.imagesEncoded, second.statistics.imagesCached) == (0, 1))
        let third = try await chat.ask(whole("other"), tokens(3)).answer()
        #expect(third.statistics.reusedTokens == first.promptTokenIDs.count)
        let fresh = try await chats.model(chats.engine()).chat().ask(whole("other"), tokens(3)).answer()
        #expect(fresh.tokenIDs == third.tokenIDs)
        let image = try await chat.ask(whole(first.text, 2), tokens(3)).answer()
        #expect(
            image.statistics.reusedTokens == first.promptTokenIDs.firstIndex(of: chats.manifest.specialTokens.imagePad))
    }

    @Test("a part of the history can be given back, and its images are not encoded again")
    func history() async throws {
        _ = try await chat.ask(about(1), tokens(4)).answer()
        let first = await chat.conversation
        _ = try await chat.ask(about(2, "And this?"), tokens(4)).answer()
        let history = await chat.conversation.messages
        let edited = history.dropLast(2) + [Message(.user, [history[2].parts[0], .text("And that?")])]
        let answer = try await chat.ask(.messages(Array(edited)), tokens(6)).answer()
        #expect(answer.statistics.imagesEncoded == 0)
        #expect(answer.statistics.reusedTokens > first.feed.count + 9)  // up to the words that differ
        try await chat.setConversation(first)
        #expect(try await chat.ask(about(2, "And that?"), tokens(6)).answer().tokenIDs == answer.tokenIDs)
    }

    @Test("a system message takes the place of the chat's")
    func system() async throws {
        let mine = try await model.chat(ChatOptions(system: "Be brief.")).ask("Hi", tokens(1)).answer()
        let messages = [Message(.system, "Be brief."), Message(.user, "Hi")]
        let other = try await model.chat(ChatOptions(system: "Be long.")).ask(.messages(messages), tokens(1)).answer()
        #expect(mine.promptTokenIDs == other.promptTokenIDs)
    }

    @Test("a model without a chat template completes, and calls no tools")
    func base() async throws {
        let base = try Chats(chat: false)
        let chat = try base.model().chat()
        let answer = try await chat.ask("one two", tokens(4)).answer()
        #expect(answer.promptTokenIDs == base.tokenizer.encode("one two"))
        try await chat.reset()
        var options = tokens(1)
        options.tools = [try Tool("look")]
        guard case .usage = await chat.ask("one", options).failure() else {
            Issue.record("tools were taken")
            return
        }
    }
}
