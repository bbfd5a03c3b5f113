import PocketVL

/// What is asked: a text about the images of the conversation and these new ones, which come before it.
public struct Question: Sendable, Hashable {
    public let text: String
    public let photos: [Photo]

    public init(_ text: String, photos: [Photo] = []) {
        self.text = text
        self.photos = photos
    }
}

/// An answer that ended by itself or was stopped.
public struct FinishedAnswer: Sendable, Equatable {
    public let text: String
    public let boxes: [Box]
    public let statistics: Statistics
    public let end: StopReason
    /// Sentences about images that were not read by the letter.
    public let notes: [String]
    /// Whether the conversation goes on after it.
    public let isKept: Bool

    public init(
        text: String, boxes: [Box], statistics: Statistics, end: StopReason, notes: [String], isKept: Bool
    ) {
        self.text = text
        self.boxes = boxes
        self.statistics = statistics
        self.end = end
        self.notes = notes
        self.isKept = isKept
    }
}

/// What comes while an answer is made: pieces of text, then exactly one of the others.
public enum AnswerEvent: Sendable, Equatable {
    /// Whole characters, to be appended.
    case piece(String)
    case completed(FinishedAnswer)
    /// The conversation is as it was before the question.
    case failed(String)
}
