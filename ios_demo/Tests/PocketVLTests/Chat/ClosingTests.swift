import Foundation
import Testing

@testable import PocketVL

/// Who may use a model when, and who is refused.
@Suite(.timeLimit(.minutes(5))) struct ClosingTests {
    private let chats: Chats
    private let fake: FakeEngine
    private let model: Model
    private let chat: ChatSession

    init() throws {
        chats = try Chats()
        fake = chats.fake
        fake.text.eos = nil
        model = try chats.model()
        chat = try model.chat()
    }

    @Test("whatever is asked while an answer runs is refused, and the answer is made")
    func running() async throws {
        let gate = Gate()
        fake.onDecode = { if $0 == 1 { gate.wait() } }
        let (chat, model, file) = (chat, model, chats.file("saved"))
        async let asked = chat.ask("one two", tokens(5)).all()
        try await gate.waitUntilEntered()
        let other = try model.chat()
        for refused in [
            await other.ask("three").failure(), await chat.ask("three").failure(), await chat.regenerate().failure(),
            try refusal { try model.close() }, try await refusal { try await model.releaseText() },
            try await refusal { try await chat.save(to: file) },
            try await refusal { _ = try await model.loadChat(file) },
        ] {
            #expect(refused?.message.contains("answering already") == true)
        }
        for refused in [
            try await refusal { try await chat.close() }, try await refusal { try await chat.reset() },
            try await refusal { try await chat.setConversation(other.conversation) },
        ] {
            #expect(refused?.message.contains("This chat is answering") == true)
        }
        try await other.reset()
        gate.open()
        let events = await asked
        #expect(events.count { $0.isLast } == 1)
        #expect(events.last?.answer?.tokenIDs.count == 5)
        _ = try await other.ask("three", tokens(1)).answer()
    }

    @Test("whoever reads the last event may ask again and close")
    func last() async throws {
        for await event in chat.ask("one", tokens(3)) where event.isLast {
            _ = try await chat.ask("two", tokens(3)).answer()
            #expect(await chat.conversation.messages.count == 4)
            try model.close()
        }
        #expect(fake.text.closed == 1)
    }

    @Test("a closed model and a closed chat refuse everything, with a sentence")
    func closed() async throws {
        let closed = try model.chat()
        try await closed.close()
        try await closed.close()
        try await expectRefusals(closed, "This chat is closed")
        _ = try await chat.ask("one", tokens(2)).answer()
        try model.close()
        try model.close()
        try await expectRefusals(chat, "This model is closed")
        let (model, file) = (model, chats.file("saved"))
        for refused in [
            try refusal { _ = try model.chat() }, try await refusal { try await model.releaseVision() },
            try await refusal { try await model.releaseText() },
            try await refusal { _ = try await model.loadChat(file) },
        ] {
            #expect(refused?.message.contains("This model is closed") == true)
        }
        #expect(await chat.conversation.messages.count == 2)
        #expect(fake.text.closed == 1)
        chat.cancel()
        try await chat.close()
    }

    @Test("iterating twice asks twice, and not before")
    func twice() async throws {
        let events = chat.ask("one", tokens(2))
        #expect(fake.text.decoded == 0)
        for _ in 0..<2 { #expect(await events.all().last?.answer != nil) }
        #expect(await chat.conversation.messages.count == 4)
    }

    @Test("of two readers at once one is refused")
    func two() async throws {
        let gate = Gate()
        fake.onDecode = { if $0 == 1 { gate.wait() } }
        let events = chat.ask("one", tokens(3))
        async let first = events.all()
        try await gate.waitUntilEntered()
        let second = await events.all()
        gate.open()
        #expect(second.count == 1)
        #expect(await first.last?.answer != nil)
        #expect(await chat.conversation.messages.count == 2)
    }

    @Test("of many chats that ask at once one is answered, and the others are told")
    func many() async throws {
        let gate = Gate()
        fake.onDecode = { if $0 == 1 { gate.wait() } }
        let model = model
        let answered = try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<20 {
                let chat = try model.chat()
                group.addTask { await chat.ask("one", tokens(3)).all().last?.answer != nil }
            }
            var answered = 0
            for _ in 0..<19 where try await group.next() == true { answered += 1 }
            gate.open()
            if try await group.next() == true { answered += 1 }
            return answered
        }
        #expect(answered == 1)
    }

    @Test("images are encoded while an answer is made, and hold off closing")
    func encoding() async throws {
        let gate = Gate()
        fake.onEncode = { _ in gate.wait() }
        let (chat, image) = (chat, try noise(1))
        async let encoded = chat.encodeImage(image)
        try await gate.waitUntilEntered()
        #expect(try await model.chat().ask("one", tokens(3)).answer().tokenIDs.count == 3)
        #expect(try refusal { try model.close() }?.message.contains("encoding an image") == true)
        gate.open()
        #expect(try await encoded.media.embeddings.rows == 9)
        try model.close()
    }

    @Test("loading in vain closes the engine, and can be cancelled")
    func loading() async throws {
        let closed = chats.engine()
        try chats.folder.write(Names.tokenizerFile, Array("{}".utf8))
        #expect(try refusal { _ = try chats.model(closed) }?.isBundle == true)
        #expect(closed.text.closed == 1)
        let none = chats.file("none")
        let made: EngineFactory = { _, _ in closed.engine }
        let refused = try await refusal { _ = try await PocketVL.load(none, engine: made) }
        #expect(refused?.isBundle == true)
        let threads = try refusal { _ = try PocketVL.open(none, engine: made, options: LoadOptions(threads: 0)) }
        #expect(threads?.message.contains("threads") == true)
        let task = Task {
            while !Task.isCancelled { await Task.yield() }
            _ = try await PocketVL.load(none, engine: made)
        }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }

    private func expectRefusals(_ chat: ChatSession, _ sentence: String) async throws {
        let (image, file) = (try noise(1), chats.file("saved"))
        let refused = [
            await chat.ask("one").failure(), await chat.regenerate().failure(),
            try await refusal { _ = try await chat.countTokens(.text("one")) },
            try await refusal { _ = try await chat.measureImage(image) },
            try await refusal { _ = try await chat.encodeImage(image) },
            try await refusal { try await chat.reset() },
            try await refusal { try await chat.setConversation(chat.conversation) },
            try await refusal { try await chat.save(to: file) },
            try await refusal { _ = try await chat.live() },
            try await refusal { _ = try await chat.see(image) },
        ]
        for (index, error) in refused.enumerated() {
            #expect(error?.message.contains(sentence) == true, "\(index): \(error as Any)")
        }
    }
}
