import Foundation
import PocketVL

/// A model of the runtime's.
final class CoreModel: LoadedModel {
    let engine: Engine
    private let model: Model
    private let photos: any PhotoReader
    private let opened = OpenedChat()

    init(_ model: Model, _ engine: Engine, _ photos: any PhotoReader) {
        self.model = model
        self.engine = engine
        self.photos = photos
    }

    var manifest: Manifest { model.manifest }

    func chat() async throws -> any ModelChat { made(try model.chat()) }

    func restore(_ file: URL) async throws -> any ModelChat { made(try await model.loadChat(file)) }

    func live() async throws -> any LiveChat { try await CoreLive(model) }

    /// What cannot be given back now, since an answer is made, stays.
    func release(_ what: Release) async {
        if what >= .vision { try? await model.releaseVision() }
        if what >= .cache { opened.chat?.forgetImages() }
        if what >= .weights { try? await model.releaseText() }
    }

    func close() async throws { try model.close() }

    private func made(_ chat: ChatSession) -> CoreChat {
        opened.chat = chat
        return CoreChat(chat, photos)
    }
}

/// The embeddings that a chat keeps are what ``Release/cache`` gives back.
private final class OpenedChat: @unchecked Sendable {
    private let lock = NSLock()
    private weak var held: ChatSession?

    var chat: ChatSession? {
        get { lock.withLock { held } }
        set { lock.withLock { held = newValue } }
    }
}

private struct CoreChat: ModelChat {
    private static let options = AskOptions(maxTokens: 512)

    private let chat: ChatSession
    private let photos: any PhotoReader

    init(_ chat: ChatSession, _ photos: any PhotoReader) {
        self.chat = chat
        self.photos = photos
    }

    func ask(_ question: Question) -> AsyncStream<AnswerEvent> { plain(chat.ask(parts(question), Self.options)) }

    func askInstead(_ question: Question) -> AsyncStream<AnswerEvent> {
        AsyncStream { continuation in
            let work = Task {
                let whole = await chat.conversation
                do {
                    try await chat.setConversation(whole.before ?? whole)
                } catch {
                    continuation.yield(.failed(errorText(error)))
                    continuation.finish()
                    return
                }
                var last: AnswerEvent?
                for await event in chat.ask(parts(question), Self.options) {
                    guard let event = event.plain else { continue }
                    if case .piece = event { continuation.yield(event) } else { last = event }
                }
                // As it was before anybody hears that there is no answer.
                if last?.isKept != true { try? await chat.setConversation(whole) }
                if let last { continuation.yield(last) }
                continuation.finish()
            }
            continuation.onTermination = { reason in if case .cancelled = reason { work.cancel() } }
        }
    }

    func regenerate() -> AsyncStream<AnswerEvent> { plain(chat.regenerate(Self.options)) }

    func stop() { chat.cancel() }

    func save(to file: URL) async throws { try await chat.save(to: file) }

    private func parts(_ question: Question) -> [Part] {
        question.photos.map { .image(photos.open($0)) } + [.text(question.text)]
    }
}

/// Keeps the encoder loaded while it is there, and no turns: each answer is about the newest frame alone.
private final class CoreLive: LiveChat {
    private static let options = AskOptions(maxTokens: 64)

    private let model: Model
    private let chat: ChatSession
    private let view: LiveView

    init(_ model: Model) async throws {
        self.model = model
        chat = try model.chat(ChatOptions(keepVision: true))
        view = try await chat.live(LiveOptions(maxTurns: 0))
    }

    /// What is too like the frame before is not encoded again: then the view is idle at once.
    func see(_ frame: RgbImage) async throws {
        try view.see(frame)
        while try await !view.waitForChange(seconds: 0.05), !view.isIdle {}
    }

    func ask(_ question: String) -> AsyncStream<AnswerEvent> { plain(view.ask(question, Self.options)) }

    func stop() { view.cancel() }

    func close() async {
        view.close()
        try? await chat.close()
        try? await model.releaseVision()
    }
}

/// Dropping the stream stops the answer.
private func plain(_ events: AnswerEvents) -> AsyncStream<AnswerEvent> {
    AsyncStream { continuation in
        let work = Task {
            for await event in events {
                if let event = event.plain { continuation.yield(event) }
            }
            continuation.finish()
        }
        continuation.onTermination = { reason in if case .cancelled = reason { work.cancel() } }
    }
}

extension AnswerEvent {
    fileprivate var isKept: Bool { if case .completed(let answer) = self { answer.isKept } else { false } }
}

extension Event {
    fileprivate var plain: AnswerEvent? {
        switch self {
        case .started: nil
        case .text(let piece): .piece(piece)
        case .failed(let error, _): .failed(error.message)
        case .completed(let answer):
            .completed(
                FinishedAnswer(
                    text: answer.text, boxes: answer.boxes, statistics: answer.statistics, end: answer.stopReason,
                    notes: answer.notes, isKept: !answer.tokenIDs.isEmpty))
        }
    }
}
