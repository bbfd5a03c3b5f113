import Foundation

/// A conversation about images and videos, one answer at a time; see ``Model``.
///
/// A turn that fails leaves the conversation as it was before. One that is stopped stays with what was said until
/// then, if that is a token at least: by ``cancel()``, by cancelling the task that iterates its events, by leaving the
/// loop.
///
/// It is the counterpart of Kotlin's `Chat`. The engine blocks, so it runs on a thread of the model's own; this actor
/// holds what was said, and never waits for that thread.
public actor ChatSession {
    nonisolated let turns: SessionTurns
    nonisolated let gate: ModelGate
    nonisolated let threads: ModelThreads
    private nonisolated let running = RunningAnswer()
    private let start: Conversation
    private var said: Conversation
    private var frames: NewestFrame?  // of its live view
    private var isClosed = false

    init(
        _ turns: SessionTurns, start: Conversation, said: Conversation, _ gate: ModelGate, _ threads: ModelThreads
    ) {
        self.turns = turns
        self.start = start
        self.said = said
        self.gate = gate
        self.threads = threads
    }

    /// All that was said, as a value. To fork it, keep it and set it again later; to take the last turn back, set its
    /// ``Conversation/before``.
    public var conversation: Conversation { said }

    /// Whatever is set, only what the KV cache lacks of it is fed. Throws ``PocketVLError/usage(_:)`` while this chat
    /// answers.
    public func setConversation(_ conversation: Conversation) throws(PocketVLError) {
        try checkIdle()
        said = conversation
    }

    /// Forgets the conversation, not the images' embeddings. Throws ``PocketVLError/usage(_:)`` while this chat answers.
    public func reset() throws(PocketVLError) {
        try checkIdle()
        said = start
    }

    /// Rope position that the next token gets.
    public var nextPosition: Int { said.feed.nextPosition }

    /// Tokens that still fit.
    public var freeContext: Int { max(0, maxContext - said.feed.count) }

    /// Tokens that a conversation can have.
    public nonisolated var maxContext: Int { turns.maxContext }

    /// One turn of the user and its answer, as events: iterating them asks, iterating them twice asks twice.
    ///
    /// The answer waits for no reader: events wait in a queue, however slow it is. What goes wrong is
    /// ``Event/failed(_:text:)``, among it a ``PocketVLError/usage(_:)`` for options that cannot be meant, and where the
    /// model is answering already or is closed.
    public nonisolated func ask(_ content: Content, _ options: AskOptions = AskOptions()) -> AnswerEvents {
        let turns = turns
        return events { (before, cancellation, send) throws(PocketVLError) in
            try turns.ask(content, options, after: before, cancellation, send)
        }
    }

    public nonisolated func ask(_ parts: [Part], _ options: AskOptions = AskOptions()) -> AnswerEvents {
        ask(.parts(parts), options)
    }

    public nonisolated func ask(_ text: String, _ options: AskOptions = AskOptions()) -> AnswerEvents {
        ask(.parts([.text(text)]), options)
    }

    /// One turn of the user and its answer, where nobody wants to see it grow. Throws what ``ask(_:_:)-(Content,_)``
    /// fails with. Where the task is cancelled, the answer is what was said until then.
    public nonisolated func answer(
        to content: Content, _ options: AskOptions = AskOptions()
    ) async throws(PocketVLError) -> Answer {
        try await ask(content, options).answer()
    }

    /// The last answer made anew: the same question, of which one token is fed. It takes the place of the one before
    /// only if it succeeds. Events as of ``ask(_:_:)-(Content,_)``.
    public nonisolated func regenerate(_ options: AskOptions = AskOptions()) -> AnswerEvents {
        let turns = turns
        return events { (before, cancellation, send) throws(PocketVLError) in
            try turns.regenerate(options, after: before, cancellation, send)
        }
    }

    /// Stops the answer in progress, from anywhere; without one it does nothing. What was said so far stays.
    public nonisolated func cancel() { running.cancel() }

    /// Of the whole prompt, if `content` were asked; images are read, nothing is encoded. Throws
    /// ``PocketVLError/image(_:)``, ``PocketVLError/prompt(_:)``, ``PocketVLError/usage(_:)``.
    public func countTokens(_ content: Content) async throws(PocketVLError) -> Int {
        let (said, turns) = (said, turns)
        return try await reading { () throws(PocketVLError) in try turns.countTokens(content, after: said) }
    }

    /// An image as it would be encoded. Throws ``PocketVLError/image(_:)``, ``PocketVLError/usage(_:)``.
    public func measureImage(_ image: any ImageSource) async throws(PocketVLError) -> MeasuredImage {
        let turns = turns
        return try await reading { () throws(PocketVLError) in try turns.measureImage(image) }
    }

    /// A video as it would be encoded. Throws ``PocketVLError/video(_:)``, ``PocketVLError/prompt(_:)``,
    /// ``PocketVLError/usage(_:)``.
    public func measureVideo(
        _ video: any FrameSource, _ options: VideoOptions = .asTheRule
    ) async throws(PocketVLError) -> MeasuredVideo {
        let turns = turns
        return try await reading { () throws(PocketVLError) in try turns.measureVideo(video, options) }
    }

    /// Encodes an image now, to ask about it later: give it where a message takes an image. Also while an answer is
    /// made. Without keepVision the encoder is released again.
    ///
    /// Throws ``PocketVLError/image(_:)``, ``PocketVLError/engine(_:)``, ``PocketVLError/bundle(_:)``,
    /// ``PocketVLError/usage(_:)``.
    public func encodeImage(_ image: any ImageSource) async throws(PocketVLError) -> EncodedImage {
        let (turns, gate) = (turns, gate)
        return try await reading { () throws(PocketVLError) in
            try gate.encoding { () throws(PocketVLError) in try turns.encodeImage(image) }
        }
    }

    /// A view of a camera: frames go in by ``LiveView/see(_:)``, questions are about the newest one. The conversation is
    /// the view's own until it is closed. Throws ``PocketVLError/usage(_:)`` where this chat has an open one.
    public func live(_ options: LiveOptions = LiveOptions()) throws(PocketVLError) -> LiveView {
        try checkOpen()
        if frames?.isOpen == true {
            throw .usage("This chat has a live view already; close that first.")
        }
        let (turns, gate) = (turns, gate)
        let made = try NewestFrame(options) { image throws(PocketVLError) in
            try gate.encoding { () throws(PocketVLError) in try turns.encodeImage(image) }
        }
        frames = made
        return LiveView(self, made)
    }

    /// Gives a frame to this chat's live view, which is made if there is none; see ``LiveView/see(_:)``.
    @discardableResult
    public func see(_ frame: any ImageSource) throws(PocketVLError) -> LiveView {
        let view = if let frames, frames.isOpen { LiveView(self, frames) } else { try live() }
        try view.see(frame)
        return view
    }

    /// Frees the embeddings of images that are kept for questions to come, for a system that is short of memory; those
    /// that the conversation holds stay.
    public nonisolated func forgetImages() { turns.forgetImages() }

    /// Writes the conversation to a file, in the format that Python and Kotlin read and write: texts, tokens, images'
    /// embeddings and, of what the engine can give, keys and values. The images themselves are not saved.
    ///
    /// Throws ``PocketVLError/conversation(_:)``; ``PocketVLError/usage(_:)`` while an answer is made.
    public func save(to file: URL) async throws(PocketVLError) {
        try checkOpen()
        let claim = try gate.claim()
        defer { claim.release() }
        let (said, turns) = (said, turns)
        try await threads.answers.run { () throws(PocketVLError) in try turns.save(said, to: file) }
    }

    /// Ends the chat, which then refuses everything. The model stays open. Throws ``PocketVLError/usage(_:)`` while this
    /// chat answers.
    public func close() throws(PocketVLError) {
        if running.isRunning { throw Self.answering }
        isClosed = true
        frames?.close()
        frames = nil
    }

    /// Makes an answer on the model's thread; `work` is given the conversation as it is by then.
    nonisolated func events(_ work: @escaping AnswerWork) -> AnswerEvents {
        AnswerEvents { queue, cancellation in await self.begin(queue, cancellation, work) }
    }

    private func begin(_ queue: EventQueue, _ cancellation: Cancellation, _ work: @escaping AnswerWork) {
        let claim: KVCache.Claim
        do {
            try checkOpen()
            claim = try gate.claim()
        } catch {
            queue.push(.failed(error, text: ""))
            return
        }
        running.begin(cancellation)
        let said = said
        threads.answers.submit {
            let outcome = Outcome(said, cancellation, queue, work)
            Task { await self.end(outcome, claim, queue) }
        }
    }

    /// The last event is sent when the model is free again.
    private func end(_ outcome: Outcome, _ claim: KVCache.Claim, _ queue: EventQueue) {
        if let conversation = outcome.conversation { said = conversation }
        running.end()
        claim.release()
        queue.push(outcome.last)
    }

    /// Does what reads images, on a thread for that.
    private func reading<Value: Sendable>(
        _ work: @escaping @Sendable () throws(PocketVLError) -> Value
    ) async throws(PocketVLError) -> Value {
        try checkOpen()
        return try await threads.images.run(work)
    }

    private func checkOpen() throws(PocketVLError) {
        try gate.checkOpen()
        if isClosed { throw .usage("This chat is closed; make a new one.") }
    }

    private func checkIdle() throws(PocketVLError) {
        try checkOpen()
        if running.isRunning { throw Self.answering }
    }

    private static let answering = PocketVLError.usage("This chat is answering; wait for it, or cancel it.")
}

/// Makes an answer in the calling thread; what it sends are events before the last.
typealias AnswerWork =
    @Sendable (_ before: Conversation, _ cancellation: Cancellation, _ send: (Event) -> Void)
    throws(PocketVLError) -> Answered

/// What came of an answer.
private struct Outcome: Sendable {
    let last: Event
    /// nil where it stays as it was.
    let conversation: Conversation?

    /// Makes the answer, and passes its events on.
    init(_ before: Conversation, _ cancellation: Cancellation, _ queue: EventQueue, _ work: AnswerWork) {
        var said = ""
        do {
            let answered = try work(before, cancellation) { event in
                if case .text(let piece) = event { said += piece }
                queue.push(event)
            }
            last = .completed(answered.answer)
            conversation = answered.answer.tokenIDs.isEmpty ? nil : answered.conversation
        } catch {
            last = .failed(error, text: said)
            conversation = nil
        }
    }
}

/// The answer that a chat is making, to be stopped from anywhere.
private final class RunningAnswer: @unchecked Sendable {
    private let lock = NSLock()
    private var cancellation: Cancellation?  // guarded by the lock

    var isRunning: Bool { lock.withLock { cancellation != nil } }

    func begin(_ cancellation: Cancellation) { lock.withLock { self.cancellation = cancellation } }

    func end() { lock.withLock { cancellation = nil } }

    func cancel() { lock.withLock { cancellation }?.cancel() }
}
