import Foundation
import PocketVL
import Testing

@testable import PocketVLUI

@MainActor
@Suite struct ChatViewModelTests {
    /// One process of the app; files outlive it.
    @MainActor
    private struct App {
        let source: FakeSource
        let memory = FakeMemory()
        let thermal = FakeThermal()
        let holder: ModelHolder
        let view: ChatViewModel

        init(_ folder: TemporaryFolder) throws {
            source = FakeSource(manifest: try manifest())
            holder = ModelHolder(
                source: source, memory: memory,
                firstLoads: FirstLoads(file: folder.url.appendingPathComponent("loads"), system: "18.2"))
            view = ChatViewModel(
                holder: holder,
                device: ChatDevice(photos: FakePhotos(names: ["cat", "dog"]), memory: memory, thermal: thermal),
                saved: SavedChats(folder: folder.url.appendingPathComponent("chats")))
        }

        var state: ChatState { view.state }

        func chat() throws -> FakeChat { try #require(source.models.value.last?.chats.value.last) }

        func begin(_ bundle: InstalledBundle = int4) async {
            await holder.choose(bundle).value
            await until("the model is ready") { view.state.model == .ready(bundle) }
        }

        func ask(_ text: String) async throws {
            view.type(text)
            view.send()
            let chat = try chat()
            await until("it answers") { chat.answers.isRunning }
        }

        func say(_ text: String) async throws {
            try chat().answers.say(.piece(text), .completed(finished(text)))
            await until("it is answered") { !view.state.isAnswering }
        }
    }

    private let folder: TemporaryFolder
    private let app: App

    init() throws {
        folder = try TemporaryFolder()
        app = try App(folder)
    }

    @Test("a question with two images is answered piece by piece")
    func answered() async throws {
        await app.begin()
        await app.view.attach(["cat.heic", "dog.heic"])
        try await app.ask(" What are these? ")
        #expect(app.source.log.lines.contains("ask What are these? [\"cat\", \"dog\"]"))
        try app.chat().answers.say(.piece("A "), .piece("cat"))
        await until("the pieces are there") { app.state.turns.first?.answer == "A cat" }
        try app.chat().answers.say(.completed(finished("A cat and a dog.")))
        await until("it is answered") { !app.state.isAnswering }
        guard case .finished(let finish) = app.state.turns[0].outcome else { return #expect(Bool(false)) }
        #expect(finish.memory == roomy && finish.thermal == cool && finish.end == .stop)
        #expect(app.state.turns[0].answer == "A cat and a dog.")
    }

    @Test("an image that is gone is told of, the others stay")
    func gone() async {
        await app.view.attach(["gone.heic", "cat.heic"])
        #expect(app.state.draft.photos.map(\.name) == ["cat"])
        #expect(app.state.notice == "gone.heic is not there any more.")
        app.view.noticeShown()
        #expect(app.state.notice == nil)
    }

    @Test("nothing is sent without a model or while an answer is made")
    func notReady() async throws {
        app.view.type("What?")
        app.view.send()
        #expect(app.state.turns.isEmpty)
        await app.begin()
        try await app.ask("What?")
        app.view.type("Who?")
        app.view.send()
        await settle()
        #expect(app.source.log.lines.filter { $0.hasPrefix("ask") }.count == 1)
        #expect(app.state.draft.text == "Who?")
    }

    @Test("stop ends the answer through the model, which keeps what was said")
    func stop() async throws {
        await app.begin()
        try await app.ask("What?")
        app.view.stop()
        await until("it has stopped") { !app.state.isAnswering }
        #expect(app.source.log.lines.contains("stop"))
        guard case .finished(let finish) = app.state.turns[0].outcome else { return #expect(Bool(false)) }
        #expect(finish.end == .cancelled)
    }

    @Test("stop before the model is free gives the question back, and it is never asked")
    func stopEarly() async throws {
        await app.begin()
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let other = Task { try await app.holder.use { _ in for await _ in gate {} } }
        await settle()
        app.view.type("What?")
        app.view.send()
        await settle()
        app.view.stop()
        #expect(app.state.turns.isEmpty && app.state.draft.text == "What?")
        open.finish()
        try await other.value
        await settle()
        #expect(!app.source.log.lines.contains { $0.hasPrefix("ask") })
        try await app.ask("Who?")  // the model is free again
        try await app.say("Me.")
        #expect(app.state.turns.map(\.answer) == ["Me."])
    }

    @Test("a failure keeps the text so far, and the question can be asked again")
    func failure() async throws {
        await app.begin()
        try await app.ask("What?")
        try app.chat().answers.say(.piece("A c"), .failed("The engine failed; try again."))
        await until("it has failed") { !app.state.isAnswering }
        #expect(app.state.turns.map(\.answer) == ["A c"])
        app.view.regenerate()
        await until("it is asked again") { (try? app.chat().answers.isRunning) == true }
        #expect(app.source.log.lines.filter { $0 == "ask What? []" }.count == 2)
        try await app.say("A cat.")
        #expect(app.state.turns.map(\.answer) == ["A cat."])
    }

    @Test("the last question is edited, the last answer made anew")
    func editAndRegenerate() async throws {
        await app.begin()
        try await app.ask("One?")
        try await app.say("1")
        app.view.editLast()
        #expect(app.state.draft.isEdit)
        try await app.ask("Two?")
        try await app.say("2")
        #expect(app.source.log.lines.contains("ask instead Two?"))
        app.view.regenerate()
        await until("it answers") { (try? app.chat().answers.isRunning) == true }
        #expect(app.source.log.lines.contains("regenerate"))
        try await app.say("3")
        #expect(app.state.turns.map(\.question.text) == ["Two?"] && app.state.turns.map(\.answer) == ["3"])
    }

    @Test("the conversation outlives the app's process")
    func saved() async throws {
        await app.begin()
        await app.view.attach(["cat.heic"])
        try await app.ask("What?")
        let box = Box(label: "cat", image: 0, x1: 1, y1: 2, x2: 3.5, y2: 4)
        try app.chat().answers.say(.completed(finished("A cat.", boxes: [box])))
        await until("it is answered") { !app.state.isAnswering }
        await app.view.enteredBackground()
        #expect(app.source.log.lines.contains("save"))
        let next = try App(folder)
        await next.begin()
        #expect(next.source.log.lines.contains("restore chat"))
        #expect(next.state.turns.map(\.answer) == ["A cat."])
        #expect(next.state.turns.first?.question == Question("What?", photos: [photo("cat")]))
        guard case .finished(let finish) = next.state.turns[0].outcome else { return #expect(Bool(false)) }
        #expect(finish.boxes == [box])
        await next.view.startAnew()
        #expect(next.state.turns.isEmpty)
        let third = try App(folder)
        await third.begin()
        #expect(!third.source.log.lines.contains("restore chat"))
    }

    @Test("a damaged conversation is told of, and a new one begins")
    func damaged() async throws {
        await app.begin()
        try await app.ask("What?")
        try await app.say("A cat.")
        await app.view.save()
        try folder.write("chats/int4.chat", "damaged")
        let next = try App(folder)
        await next.begin()
        #expect(next.state.notice == "The saved chat is damaged; start a new one.")
        #expect(next.state.turns.isEmpty)
        try await next.ask("Again?")
        try await next.say("Yes.")
    }

    @Test("in the background an answer ends with what was said, and is saved")
    func background() async throws {
        await app.begin()
        try await app.ask("What?")
        await app.view.enteredBackground()
        #expect(!app.state.isAnswering)
        #expect(Array(app.source.log.lines.suffix(2)) == ["stop", "save"])
    }

    @Test("another bundle stops the answer and saves the conversation before the model is closed")
    func otherBundle() async throws {
        await app.begin()
        try await app.ask("What?")
        await app.begin(small)
        let lines = app.source.log.lines
        let order = ["stop", "save", "close", "verify int4-small", "load int4-small"].map {
            lines.firstIndex(of: $0) ?? -1
        }
        #expect(order == order.sorted() && !order.contains(-1), "\(lines)")
        #expect(app.state.turns.isEmpty)
    }
}
