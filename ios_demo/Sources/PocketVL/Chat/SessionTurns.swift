import Foundation

/// The turns of one session in blocking calls, each from one value of the conversation to the next; ``ChatSession`` is
/// its public face.
///
/// It is the counterpart of the session in Python and Kotlin, but holds no conversation. Sessions may share an engine,
/// one answering at a time: what another one has driven out of the KV cache is fed again from the kept embeddings.
/// Whoever calls ``ask(_:_:after:_:_:)`` or ``regenerate(_:after:_:_:)`` holds the cache's claim.
///
/// Left out of Python's session: grammars (an answer that fits a JSON schema or a regular expression).
final class SessionTurns: Sendable {
    private let parts: ModelParts
    private let options: SessionOptions
    private let keepVision: Bool
    private let start: Conversation
    private let maker: TurnMaker
    private let vision: VisionPipeline
    private let encoder: TurnEncoder
    private let answerer: Answerer

    private init(
        _ parts: ModelParts, _ options: SessionOptions, keepVision: Bool, start: Conversation
    ) throws(PocketVLError) {
        let manifest = parts.manifest
        self.parts = parts
        self.options = options
        self.keepVision = keepVision
        self.start = start
        maker = TurnMaker(manifest: manifest, never: parts.never)
        let settings = try manifest.image.ofSession(minPixels: options.minPixels, maxPixels: options.maxPixels)
        vision = VisionPipeline(manifest, settings, parts.engine.vision)
        let prompts = try PromptEncoder(
            parts.tokenizer, manifest.specialTokens, parts.template, addVisionID: options.addVisionID)
        encoder = TurnEncoder(manifest: manifest, prompts: prompts, vision: vision, keepVision: keepVision)
        answerer = Answerer(parts: parts, stopRepetition: options.stopRepetition)
    }

    /// A new session, and the conversation that it begins with. Throws ``PocketVLError/usage(_:)``,
    /// ``PocketVLError/prompt(_:)``.
    static func begin(
        _ parts: ModelParts, _ options: ChatOptions
    ) throws(PocketVLError) -> (SessionTurns, Conversation) {
        let first = try options.system.map { [Message(.system, $0)] }?.checked() ?? []
        let saved = SessionOptions(
            minPixels: options.minPixels, maxPixels: options.maxPixels, addVisionID: options.addVisionID,
            stopRepetition: options.stopRepetition)
        let start = Conversation(first)
        return (try SessionTurns(parts, saved, keepVision: options.keepVision, start: start), start)
    }

    /// The session that ``save(_:to:)`` wrote, with a bundle of the same files, and its conversation. What was saved of
    /// the KV cache takes the place of what the engine's holds; the rest is fed with the next question. The claim is
    /// held.
    ///
    /// Throws ``PocketVLError/conversation(_:)`` for a damaged file or another bundle's, and what making a session
    /// throws.
    static func restore(
        _ file: URL, _ parts: ModelParts, keepVision: Bool
    ) throws(PocketVLError) -> (SessionTurns, Conversation) {
        let saved = try SavedChat.read(file, parts.manifest)
        let said = saved.conversation
        let turns = try SessionTurns(parts, saved.options, keepVision: keepVision, start: said.start)
        try saved.cache.put(into: parts.engine.text, said.feed)
        return (turns, said)
    }

    var maxContext: Int { parts.manifest.maxContext }

    /// Of the whole prompt, if `content` were asked; nothing is encoded.
    func countTokens(_ content: Content, after said: Conversation) throws(PocketVLError) -> Int {
        let (before, new) = try messages(content, said)
        return try encoder.countTokens(before, new)
    }

    func measureImage(_ image: any ImageSource) throws(PocketVLError) -> MeasuredImage {
        try encoder.measureImage(image)
    }

    func measureVideo(_ video: any FrameSource, _ options: VideoOptions) throws(PocketVLError) -> MeasuredVideo {
        try encoder.measureVideo(video, options)
    }

    /// Also while an answer is made. Without keepVision the encoder is released again.
    func encodeImage(_ image: any ImageSource) throws(PocketVLError) -> EncodedImage {
        defer { if !keepVision { vision.release() } }
        return try vision.encodeNow(image)
    }

    /// Frees the images' embeddings that are kept for questions to come.
    func forgetImages() { vision.forget() }

    /// One turn and its answer; `send` gets the events before the last. Throws ``PocketVLError/usage(_:)``,
    /// ``PocketVLError/context(_:)``, ``PocketVLError/image(_:)``, ``PocketVLError/prompt(_:)``,
    /// ``PocketVLError/engine(_:)``, ``PocketVLError/bundle(_:)``.
    func ask(
        _ content: Content, _ options: AskOptions, after said: Conversation, _ cancellation: Cancellation,
        _ send: (Event) -> Void
    ) throws(PocketVLError) -> Answered {
        let turn = try maker.turn(options, cancellation)
        if turn.isCancelled { return Self.nothing(said) }
        let following = try encode(content, said, turn)
        return try answerer.answer(following.before, following.turn, turn, send)
            .orElse(said)
    }

    /// The last answer made anew: the same question, of which one token is fed. Throws as ``ask(_:_:after:_:_:)``.
    func regenerate(
        _ options: AskOptions, after said: Conversation, _ cancellation: Cancellation, _ send: (Event) -> Void
    ) throws(PocketVLError) -> Answered {
        let turn = try maker.turn(options, cancellation)
        if turn.isCancelled { return Self.nothing(said) }
        let last = try said.with(turn.tools)
        guard let before = last.before else {
            throw .usage("There is no answer to make anew; ask a question first.")
        }
        let again = EncodedTurn(
            messages: Array(last.messages[before.messages.count..<max(before.messages.count, last.messages.count - 1)]),
            feed: last.feed.first(last.answerStart), imageSizes: last.imageSizes, notes: [])
        return try answerer.answer(before, again, turn, send).orElse(said)
    }

    /// Writes a conversation to a file, with all that going on takes: texts, tokens, images' embeddings and, of what the
    /// engine can give, keys and values. The claim is held. Throws ``PocketVLError/conversation(_:)``.
    func save(_ said: Conversation, to file: URL) throws(PocketVLError) {
        let cache = try SavedCache.take(from: parts.engine.text, said.feed)
        try SavedChat(options: options, conversation: said, cache: cache).write(file, parts.manifest)
    }

    private static func nothing(_ said: Conversation) -> Answered {
        Answered(answer: .nothing(nextPosition: said.feed.nextPosition), conversation: said)
    }

    /// The conversation that goes on, and its next turn.
    private func encode(
        _ content: Content, _ said: Conversation, _ turn: Turn
    ) throws(PocketVLError) -> FollowingTurn {
        let (given, new) = try messages(content, said)
        let before = try given.with(turn.tools)
        if case .messages(let all) = content, all.first?.role != .tool {
            return try encoder.encodeWhole(held: said, start: before, new, turn)
        }
        return FollowingTurn(before: before, turn: try encoder.encode(before, new, turn))
    }

    /// The conversation that goes on, or the start of a new one, and what is new in it.
    private func messages(
        _ content: Content, _ said: Conversation
    ) throws(PocketVLError) -> (before: Conversation, new: [Message]) {
        switch content {
        case .parts(let parts): return (said, try [Message(.user, parts)].checked())
        case .messages(let given) where given.first?.role == .tool:
            return (said, try given.checkedResults(of: said.openCalls))
        case .messages(let given):
            let new = try given.checkedConversation()
            return (new.first?.role == .system ? Conversation() : start, new)
        }
    }
}

extension Answered {
    /// The same answer; where it has no token, the conversation stays as it was.
    fileprivate func orElse(_ said: Conversation) -> Answered {
        answer.tokenIDs.isEmpty ? Answered(answer: answer, conversation: said) : self
    }
}
