import Foundation
import Testing

@testable import PocketVL

/// An answer is stopped, and what is left behind.
@Suite(.timeLimit(.minutes(5))) struct CancellingTests {
    private let chats: Chats
    private let fake: FakeEngine
    private let model: Model
    private let chat: ChatSession

    init() throws {
        chats = try Chats()
        fake = chats.fake
        fake.text.eos = nil  // so that answers have all their tokens
        model = try chats.model()
        chat = try model.chat()
    }

    @Test("a task cancelled before it starts asks nothing, and its last event says so")
    func before() async throws {
        let gate = Gate()
        let chat = chat
        let task = Task {
            while !Task.isCancelled { await Task.yield() }
            return await chat.ask("one", tokens(9)).all()
        }
        task.cancel()
        let events = await task.value
        gate.open()
        #expect(events.count == 1)
        #expect(events.last?.answer?.stopReason == .cancelled)
        #expect(fake.text.decoded == 0)
        try await expectFree()
    }

    @Test("a task cancelled during vision encodes no further image")
    func vision() async throws {
        let gate = Gate()
        fake.onEncode = { if $0 == 2 { gate.wait() } }
        let parts = try about(1) + about(2) + about(3)
        try await cancelAsking(parts, at: gate)
        #expect((fake.vision.encoded, fake.text.decoded) == (2, 0))
        #expect(await chat.conversation.messages.isEmpty)
        let again = try await chat.ask(parts, tokens(2)).answer()
        #expect((again.statistics.imagesEncoded, again.statistics.imagesCached) == (1, 2))
    }

    @Test("a task cancelled during prefill feeds no further chunk")
    func prefill() async throws {
        let gate = Gate()
        fake.onDecode = { if $0 == 2 { gate.wait() } }
        let parts: [Part] = [.text(String(repeating: "many words that make a long question ", count: 12))]
        try await cancelAsking(parts, at: gate)
        #expect(fake.text.decoded == 2)
        #expect(await chat.conversation.messages.isEmpty)
        let again = try await chat.ask(parts, tokens(2)).answer()  // what was fed is not fed again
        #expect(again.statistics.reusedTokens == 2 * chats.prefillChunk)
    }

    @Test("a task cancelled during the answer stops it within a token, and what was said stays")
    func decode() async throws {
        let count = try await chat.countTokens(.text("one two"))
        let prefill = (count + chats.prefillChunk - 1) / chats.prefillChunk
        let gate = Gate()
        fake.onDecode = { if $0 == prefill + 3 { gate.wait() } }
        let last = try await cancelAsking([.text("one two")], at: gate)
        #expect(last?.answer?.stopReason == .cancelled)
        #expect(fake.text.decoded == prefill + 3)
        let said = await chat.conversation
        #expect(said.messages.count == 2)
        #expect(said.feed.count - said.answerStart == 4)
        let next = try await chat.ask("two", tokens(2)).answer()
        #expect(next.statistics.reusedTokens >= said.feed.count - 1)
    }

    @Test("cancel ends the answer with a completed event, from anywhere")
    func cancel() async throws {
        let gate = Gate()
        fake.onDecode = { if $0 == 4 { gate.wait() } }
        async let asked = chat.ask("one", tokens(90)).all()
        try await gate.waitUntilEntered()
        chat.cancel()
        gate.open()
        let events = await asked
        let answer = try #require(events.last?.answer)
        #expect(answer.stopReason == .cancelled)
        #expect((1...4).contains(answer.tokenIDs.count))
        #expect(events.count { $0.isLast } == 1)
        chat.cancel()  // without an answer it does nothing
        #expect(try await chat.ask("two", tokens(1)).answer().stopReason == .length)
    }

    @Test("leaving the loop stops the answer within a token, and the model is free then")
    func left() async throws {
        let gate = Gate()
        let prefill = 2
        fake.onDecode = { if $0 == prefill + 3 { gate.wait() } }
        for await event in chat.ask("one two", tokens(200)) {
            if case .text = event {
                try await gate.waitUntilEntered()
                break
            }
        }
        gate.open()
        try await eventually { await isFree() }
        #expect(fake.text.decoded <= prefill + 5)
        #expect(await chat.conversation.messages.count >= 2)
    }

    @Test("a dropped iterator stops the answer, also one that was never read on")
    func dropped() async throws {
        let gate = Gate()
        fake.onDecode = { if $0 == 4 { gate.wait() } }
        do {
            let iterator = chat.ask("one", tokens(200)).makeAsyncIterator()
            _ = await iterator.next()
            try await gate.waitUntilEntered()
        }
        gate.open()
        try await eventually { await isFree() }
        #expect(fake.text.decoded == 4)
        _ = chat.ask("two", tokens(9)).makeAsyncIterator()
        let answer = try await model.chat().ask("one", tokens(1)).answer()
        #expect(answer.tokenIDs.count == 1)
        #expect(await chat.conversation.messages.count == 2)
    }

    @Test("nothing comes after the last event")
    func after() async throws {
        let iterator = chat.ask("one", tokens(2)).makeAsyncIterator()
        while let event = await iterator.next() {
            if event.isLast { break }
        }
        #expect(await iterator.next() == nil)
        #expect(await iterator.next() == nil)
    }

    @Test("an answer whose task is cancelled is what was said until then")
    func answer() async throws {
        let gate = Gate()
        fake.onDecode = { if $0 == 4 { gate.wait() } }
        let chat = chat
        let task = Task { try await chat.answer(to: .text("one"), tokens(90)) }
        try await gate.waitUntilEntered()
        task.cancel()
        gate.open()
        #expect(try await task.value.stopReason == .cancelled)
        #expect(await chat.conversation.messages.count == 2)
    }

    @Test("hundreds of quick answers and cancels leave no claim behind")
    func quick() async throws {
        let rounds = ProcessInfo.processInfo.environment["POCKETVL_ROUNDS"].flatMap(Int.init) ?? 500
        for number in 0..<rounds {
            let task = Task { [chat] in
                var read = 0
                for await _ in chat.ask("one", tokens(40)) {
                    read += 1
                    if read > number % 5 { break }
                }
            }
            if number % 3 == 0 { chat.cancel() }
            if number % 7 == 0 { task.cancel() }
            await task.value
            if number % 4 == 0 { try await eventually { await isFree() } }
        }
        try await eventually { await isFree() }
        try await chat.reset()
        try await expectFree()
        try model.close()
    }

    @Test("an engine is let go with its model and chats, though nobody closed them")
    func released() async throws {
        let engine = Weakly<FakeEngine.Text>()
        do {
            let own = chats.engine()
            engine.object = own.text
            let chat = try chats.model(own).chat()
            _ = try await chat.ask("one", tokens(3)).answer()
            let view = try await chat.see(noise(1))
            try await eventually { view.isIdle }
        }
        try await eventually { engine.object == nil }
    }

    private func isFree() async -> Bool {
        (try? await chat.setConversation(chat.conversation)) != nil
    }

    private func expectFree() async throws {
        let answer = try await model.chat().ask("one", tokens(1)).answer()
        #expect(answer.tokenIDs.count == 1)
    }

    /// Its last event.
    @discardableResult
    private func cancelAsking(_ parts: [Part], at gate: Gate) async throws -> Event? {
        let chat = chat
        let task = Task { await chat.ask(parts, tokens(90)).all() }
        try await gate.waitUntilEntered()
        task.cancel()
        gate.open()
        let events = await task.value
        #expect(events.count { $0.isLast } == 1)
        return events.last
    }
}

private final class Weakly<Object: AnyObject>: @unchecked Sendable {
    private let lock = NSLock()
    private weak var held: Object?

    var object: Object? {
        get { lock.withLock { held } }
        set { lock.withLock { held = newValue } }
    }
}
