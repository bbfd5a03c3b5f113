import PocketVL

/// All that the chat screen shows. Made anew by ``after(_:)``.
public struct ChatState: Sendable, Equatable {
    public internal(set) var model = ModelState.notChosen
    public internal(set) var turns: [Turn] = []
    public internal(set) var draft = Draft()
    /// A sentence that is shown once.
    public internal(set) var notice: String?

    public var isAnswering: Bool { turns.last?.outcome == .answering }
    public var canSend: Bool { isFree && !draft.isBlank }
    public var canStop: Bool { isAnswering }
    /// The last answer made anew, or tried again where it failed.
    public var canRegenerate: Bool { isFree && !turns.isEmpty && !draft.isEdit }
    public var canEdit: Bool { isFree && !turns.isEmpty && !draft.isEdit }

    private var isFree: Bool { model.isReady && !isAnswering }

    /// The photo that a box of the turn `index` is about; nil where it says an image that is not there.
    ///
    /// Images are numbered over the turns of the conversation: failed ones are no part of it.
    public func photo(of index: Int, _ box: Box) -> Photo? {
        let photos = turns.prefix(index + 1).filter(\.isFinished).flatMap(\.question.photos)
        return photos.indices.contains(box.image) ? photos[box.image] : nil
    }
}

/// What is being written.
public struct Draft: Sendable, Equatable {
    public internal(set) var text = ""
    public internal(set) var photos: [Photo] = []
    /// Whether it takes the place of the last question.
    public internal(set) var isEdit = false

    public var isEmpty: Bool { isBlank && photos.isEmpty }
    var isBlank: Bool { text.allSatisfy(\.isWhitespace) }
}

/// A question and what has been said to it.
public struct Turn: Sendable, Equatable {
    public let question: Question
    public internal(set) var answer = ""
    public internal(set) var outcome = Outcome.answering
    /// The turn that comes back if this answer fails; none or one.
    var replaced: [Turn] = []

    public var isFinished: Bool { if case .finished = outcome { true } else { false } }
    var isFailed: Bool { if case .failed = outcome { true } else { false } }
}

/// What became of a turn.
public enum Outcome: Sendable, Equatable {
    case answering
    /// The turn is part of the conversation.
    case finished(Finish)
    /// The conversation goes on as if the question had not been asked; what was said until then stays on the screen.
    /// `isInstead`: it was to take the place of the turn before.
    case failed(String, isInstead: Bool)
}

/// How an answer ended. Statistics and readings are nil after a restart of the app.
public struct Finish: Sendable, Equatable {
    public let end: StopReason
    public internal(set) var boxes: [Box] = []
    public internal(set) var notes: [String] = []
    public internal(set) var statistics: Statistics?
    public internal(set) var memory: Memory?
    public internal(set) var thermal: Thermal?
}
