import Foundation
import PocketVLUI
import Testing

@testable import PocketVL

/// The images of the cases, under the names of their numbers.
private struct CasePhotos: PhotoReader {
    let images: [String: RgbImage]

    func read(_ file: String) async throws -> Photo {
        Photo(file: file, name: file, size: try #require(images[file]).size)
    }

    func open(_ photo: Photo) -> any ImageSource { images[photo.file] ?? Lost() }

    private struct Lost: ImageSource {
        let name = "the image"
        func readSize() throws -> PixelSize { throw PocketVLError.image("The image is not there any more.") }
        func read(for size: PixelSize) throws -> DecodedImage { throw PocketVLError.image("It is not there.") }
    }
}

private struct Roomy: MemoryReader, ThermalReader {
    func read() -> Memory { Memory(available: 4_000_000_000, total: 8_000_000_000, process: 0) }
    func read() -> Thermal { Thermal(state: .nominal, isLowPower: false) }
}

/// The app without its views, on a real bundle: verified, loaded, asked, saved and restored by its view models.
@MainActor
@Suite struct AppTests {
    @Test("the chat screen shows the answers that the runtime gives", arguments: EngineCases.threaded)
    func chat(name: String) async throws {
        let turn = try #require(QuestionCases(name).conversations.first?.turns.first)
        let (texts, images) = Self.parts(turn)
        let model = try await PocketVL.load(EngineCases.url(name), engine: EngineCases.factory)
        let content = images.map { Part.image($0) } + [.text(texts)]
        let expected = try await model.chat().answer(to: .parts(content), AskOptions(maxTokens: 512))
        try model.close()

        let folder = TemporaryFolder()
        let named = Dictionary(uniqueKeysWithValues: images.enumerated().map { ("\($0)", $1) })
        let source = CoreModels(
            engine: EngineCases.factory, photos: CasePhotos(images: named),
            stamps: folder.url.appendingPathComponent("stamps"))
        func app() -> (ModelHolder, ChatViewModel) {
            let holder = ModelHolder(
                source: source, memory: Roomy(),
                firstLoads: FirstLoads(file: folder.url.appendingPathComponent("loads"), system: "test"))
            let device = ChatDevice(photos: CasePhotos(images: named), memory: Roomy(), thermal: Roomy())
            let saved = SavedChats(folder: folder.url.appendingPathComponent("chats"))
            return (holder, ChatViewModel(holder: holder, device: device, saved: saved))
        }
        let (holder, chat) = app()
        let bundle = InstalledBundle(folder: try EngineCases.url(name), bytes: 0)
        await holder.choose(bundle).value
        #expect(holder.state == .ready(bundle))
        await chat.attach(named.keys.sorted())
        chat.type(texts)
        try await Self.wait { chat.state.canSend }
        chat.send()
        try await Self.wait { !chat.state.isAnswering }
        #expect(chat.state.turns.map(\.answer) == [expected.text])
        await chat.save()
        await holder.forget().value

        let (next, restored) = app()
        await next.choose(bundle).value
        #expect(restored.state.turns.map(\.answer) == [expected.text])
        try await Self.wait { restored.state.canRegenerate }
        restored.regenerate()
        try await Self.wait { !restored.state.isAnswering }
        #expect(restored.state.turns.map(\.answer) == [expected.text])
        await next.forget().value
    }

    @Test("the benchmark times a real engine", arguments: EngineCases.threaded)
    func benchmark(name: String) async throws {
        let folder = TemporaryFolder()
        let source = CoreModels(
            engine: EngineCases.factory, photos: CasePhotos(images: [:]),
            stamps: folder.url.appendingPathComponent("stamps"))
        let holder = ModelHolder(
            source: source, memory: Roomy(),
            firstLoads: FirstLoads(file: folder.url.appendingPathComponent("loads"), system: "test"))
        await holder.choose(InstalledBundle(folder: try EngineCases.url(name), bytes: 0)).value
        let view = BenchmarkViewModel(
            holder: holder, device: Device(model: "test", system: "Linux", cores: 1, memory: 1), memory: Roomy(),
            thermal: Roomy(), settings: BenchmarkSettings(repeats: 1, prefillTokens: 16, decodeTokens: 2))
        view.start()
        try await Self.wait { !view.state.isRunning }
        #expect(view.state.message == nil)
        let report = try #require(view.state.report)
        #expect(report.timings.decode.seconds.allSatisfy { $0 > 0 } && report.json() != nil)
        await holder.forget().value
    }

    private static func parts(_ turn: Turn) -> (text: String, images: [RgbImage]) {
        var (text, images) = ("", [RgbImage]())
        for part in turn.parts {
            if case .text(let said) = part { text += said }
            if case .image(let source, _) = part, let image = source as? RgbImage { images.append(image) }
        }
        return (text, images)
    }

    private static func wait(_ isTrue: @MainActor () -> Bool) async throws {
        for _ in 0..<60_000 {
            if isTrue() { return }
            try await Task.sleep(nanoseconds: 1_000_000)
        }
        Issue.record("it never came to be")
    }
}
