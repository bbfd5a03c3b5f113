import Foundation
import Testing

@testable import PocketVL
@testable import PocketVLUI

/// Photos named by numbers are images of that number's noise; the others are gone.
private struct NumberedPhotos: PhotoReader {
    private struct Gone: ImageSource {
        let name: String
        func readSize() throws -> PixelSize { throw PocketVLError.image("\(name) is not there any more.") }
        func read(for size: PixelSize) throws -> DecodedImage { DecodedImage(try noise(0)) }
    }

    func read(_ file: String) async throws -> Photo { photo(file) }

    func open(_ photo: Photo) -> any ImageSource {
        guard let number = Int(photo.name), let image = try? noise(number) else { return Gone(name: photo.name) }
        return image
    }
}

private func noise(_ number: Int) throws -> RgbImage {
    let pixels = (0..<3 * 84 * 84).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761 &+ number &* 97) >> 8) }
    return try RgbImage(width: 84, height: 84, pixels: pixels)
}

@Suite struct CoreModelTests {
    private let small: SmallModel
    private let model: CoreModel
    private var engine: HashEngine { small.engine }

    init() throws {
        small = try SmallModel()
        model = CoreModel(
            small.model, Engine(vision: small.engine, text: small.engine), NumberedPhotos())
    }

    private func ask(_ chat: any ModelChat, _ text: String, _ photos: Int...) async throws -> FinishedAnswer {
        try await finish(chat.ask(Question(text, photos: photos.map { photo("\($0)") })))
    }

    private func finish(_ events: AsyncStream<AnswerEvent>) async throws -> FinishedAnswer {
        var text = ""
        var answers: [FinishedAnswer] = []
        for await event in events {
            switch event {
            case .piece(let piece): text += piece
            case .completed(let answer): answers.append(answer)
            case .failed(let message): Issue.record("failed: \(message)")
            }
        }
        let answer = try #require(answers.first)
        #expect(answers.count == 1 && answer.text == text)
        return answer
    }

    private func failure(_ events: AsyncStream<AnswerEvent>) async -> String? {
        var last: AnswerEvent?
        for await event in events { last = event }
        guard case .failed(let message) = last else { return nil }
        return message
    }

    @Test("questions about images are answered piece by piece")
    func images() async throws {
        let answer = try await ask(try await model.chat(), "What?", 1, 2)
        #expect(answer.isKept && answer.statistics.imagesEncoded == 2)
    }

    @Test("a question asked instead of the last is answered as if it had been the first")
    func instead() async throws {
        let chat = try await model.chat()
        _ = try await ask(chat, "What?", 1)
        _ = try await ask(chat, "And this?", 2)
        let instead = try await finish(chat.askInstead(Question("And that?", photos: [photo("3")])))
        let other = try await model.chat()
        _ = try await ask(other, "What?", 1)
        #expect(try await ask(other, "And that?", 3).text == instead.text)
    }

    @Test("where it fails the last answer is still there")
    func insteadFails() async throws {
        let chat = try await model.chat()
        _ = try await ask(chat, "What?", 1)
        let failing = Question("And this?", photos: [photo("gone")])
        #expect(await failure(chat.askInstead(failing)) == "gone is not there any more.")
        let next = try await ask(chat, "Why?")
        let other = try await model.chat()
        _ = try await ask(other, "What?", 1)
        #expect(try await ask(other, "Why?").text == next.text)
    }

    @Test("an answer is made anew, where there is one")
    func regenerate() async throws {
        let chat = try await model.chat()
        let first = try await ask(chat, "What?", 1)
        #expect(try await finish(chat.regenerate()).text == first.text)
        #expect(await failure(try await model.chat().regenerate()) != nil)
    }

    @Test("stop keeps what was said")
    func stop() async throws {
        let chat = try await model.chat()
        engine.onDecode = { number in if number == 4 { chat.stop() } }
        let answer = try await ask(chat, "What?")
        #expect(answer.end == .cancelled || answer.end == .stop)
    }

    @Test("whoever drops the stream stops the answer, and the model is free again")
    func dropped() async throws {
        let chat = try await model.chat()
        for await _ in chat.ask(Question("What?")) { break }
        let other = try await model.chat()
        for _ in 0..<1000 {
            if await failure(other.ask(Question("Why?"))) == nil { return }
            try await Task.sleep(nanoseconds: 5_000_000)
        }
        Issue.record("the model stays occupied")
    }

    @Test("a saved chat goes on as it would have, and a damaged one is refused")
    func saved() async throws {
        let chat = try await model.chat()
        _ = try await ask(chat, "What?", 1)
        let file = small.folder.url.appendingPathComponent("chat")
        try await chat.save(to: file)
        let went = try await ask(chat, "Why?")
        #expect(try await ask(try await model.restore(file), "Why?").text == went.text)
        try small.folder.write("chat", "damaged")
        await #expect(throws: PocketVLError.self) { _ = try await model.restore(file) }
    }

    @Test("memory is given back step by step, and answers stay the same")
    func release() async throws {
        let chat = try await model.chat()
        _ = try await ask(chat, "What?", 1)
        #expect(try await ask(chat, "And now?", 1).statistics.imagesCached == 1)
        await model.release(.cache)
        #expect(engine.counts.closed == 0)
        let other = try await model.chat()
        let first = try await ask(other, "What?", 1)
        await model.release(.weights)
        #expect(engine.counts.closed == 1)
        let again = try await ask(try await model.chat(), "What?", 1)
        #expect(again.text == first.text && again.statistics.imagesEncoded == 1)
    }

    @Test("a live view answers about the frame that it saw last, and encodes no frame twice")
    func live() async throws {
        let live = try await model.live()
        #expect(await failure(live.ask("What?"))?.contains("No frame") == true)
        try await live.see(try noise(1))
        _ = try await finish(live.ask("What?"))
        try await live.see(try noise(500))
        let second = try await finish(live.ask("What?"))
        let encoded = engine.counts.encoded
        try await live.see(try noise(500))
        #expect(try await finish(live.ask("What?")).text == second.text)
        #expect(engine.counts.encoded == encoded)
        await live.close()
        #expect(engine.counts.released >= 1)
    }

    @Test("a closed model refuses questions with a sentence")
    func closed() async throws {
        let chat = try await model.chat()
        try await model.close()
        #expect(await failure(chat.ask(Question("What?"))) != nil)
    }
}
