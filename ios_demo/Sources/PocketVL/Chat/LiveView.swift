import Foundation

/// How a ``LiveView`` sees.
public struct LiveOptions: Sendable, Equatable {
    /// Frames that stay in the conversation, so that its memory has a bound; at least 1.
    public var maxFrames: Int
    /// Earlier turns that stay; nil for as many as the context holds.
    public var maxTurns: Int?
    /// The difference in levels that makes a frame another one, see ``Thumbnail``; 0 encodes them all.
    public var leastChange: Int

    public init(maxFrames: Int = 1, maxTurns: Int? = nil, leastChange: Int = Thumbnail.changed) {
        self.maxFrames = maxFrames
        self.maxTurns = maxTurns
        self.leastChange = leastChange
    }
}

/// What became of frames.
public struct FrameCounts: Sendable, Equatable {
    public var given = 0
    /// By a newer one before the encoder was free.
    public var replaced = 0
    /// Too like the last that was encoded.
    public var unchanged = 0
    public var encoded = 0
}

/// A camera's newest frame, encoded on a thread of its own while answers are made; see ``ChatSession/live(_:)``.
///
///     let view = try await model.chat(ChatOptions(keepVision: true)).live()
///     camera.onFrame { try view.see($0) }
///     for await event in view.ask("What do you see?") { ... }
///
/// A question is about the newest frame that was encoded by then: the first question about a frame has it as an image
/// before its text. Older frames leave the conversation, their questions and answers stay; when the context is full,
/// the oldest turns leave, too. What follows a frame that left is fed again, from kept embeddings. Make the chat with
/// keepVision, or the encoder is loaded for each frame. For any task.
///
/// It holds its chat, which holds the frames: copies of it are the same view.
public struct LiveView: Sendable {
    private let chat: ChatSession
    private let frames: NewestFrame

    init(_ chat: ChatSession, _ frames: NewestFrame) {
        self.chat = chat
        self.frames = frames
    }

    private var options: LiveOptions { frames.options }
    private var turns: SessionTurns { chat.turns }

    /// So far.
    public var counts: FrameCounts { frames.counts }

    /// Whether no frame waits or is being encoded.
    public var isIdle: Bool { frames.isIdle }

    public var isOpen: Bool { frames.isOpen }

    /// Takes a frame and returns at once; from any thread.
    ///
    /// It waits for the frame that is being encoded, and is dropped if another one comes meanwhile. What is wrong with it
    /// is thrown by the next question or ``waitForChange(seconds:)``. Throws ``PocketVLError/usage(_:)`` once closed.
    public func see(_ frame: any ImageSource) throws(PocketVLError) { try frames.see(frame) }

    /// Waits until a frame is encoded that no question was about; false after `seconds`, once closed, or where the task
    /// is cancelled. Throws what encoding the newest frame threw.
    public func waitForChange(seconds: Double) async throws(PocketVLError) -> Bool {
        let watch = Stopwatch()
        while true {
            if let isNew = try frames.change() { return isNew }
            if watch.seconds >= seconds || Task.isCancelled { return false }
            try? await Task.sleep(for: .milliseconds(10))
        }
    }

    /// About the newest frame that is encoded; waits for the first one. As ``ChatSession/ask(_:_:)-(Content,_)``, but it
    /// also fails with what encoding the newest frame threw, and a ``PocketVLError/usage(_:)`` where none was given.
    public func ask(_ question: String, _ options: AskOptions = AskOptions()) -> AnswerEvents {
        chat.events { (before, cancellation, send) throws(PocketVLError) in
            try self.answer(question, options, after: before, cancellation, send)
        }
    }

    /// Stops the answer in progress, from anywhere.
    public func cancel() { chat.cancel() }

    /// Takes no more frames; the one that is being encoded is left to end. The chat stays open.
    public func close() { frames.close() }

    /// For the model's thread.
    private func answer(
        _ question: String, _ options: AskOptions, after said: Conversation, _ cancellation: Cancellation,
        _ send: (Event) -> Void
    ) throws(PocketVLError) -> Answered {
        guard let frame = try frames.newest(cancellation) else {
            return Answered(answer: .nothing(nextPosition: said.feed.nextPosition), conversation: said)
        }
        var asked = try fitting(LiveTurn(question: question, frame: frame), options.maxTokens, said)
        let answered = try turns.ask(.messages(asked.messages()), options, after: said, cancellation, send)
        if !answered.answer.tokenIDs.isEmpty {
            asked[asked.count - 1].answer = answered.answer.text
            frames.turns = asked
        }
        return answered
    }

    /// The turns so far and the new one, as many as leave room for an answer.
    private func fitting(
        _ turn: LiveTurn, _ maxTokens: Int, _ said: Conversation
    ) throws(PocketVLError) -> [LiveTurn] {
        let earlier = frames.turns.suffix(options.maxTurns ?? turns.maxContext)
        var fit = (earlier + [turn]).withFrames(most: options.maxFrames)
        while fit.count > 1 {
            let needed = try turns.countTokens(.messages(fit.messages()), after: said)
            if Saturating.sum(needed, maxTokens) <= turns.maxContext { break }
            fit = Array(fit.dropFirst()).withFrames(most: options.maxFrames)
        }
        return fit
    }
}
