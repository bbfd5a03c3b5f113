/// A conversation as a value: to fork it, keep a copy; to take a turn back, go to the one ``before``.
///
/// It holds all tokens that its messages became, images' embeddings among them.
public struct Conversation: Sendable {
    public let messages: [Message]
    /// Without the stop token of the last answer, which the next turn writes as its template does.
    public let feed: Feed
    /// Of all images, as they were given.
    public let imageSizes: [PixelSize]
    /// The slot of ``feed`` where its last answer begins; 0 at the start.
    public let answerStart: Int
    /// Those that its system turn describes.
    public let tools: ToolSet
    /// The conversations that it went on from, the start of all first.
    let earlier: [Beginning]

    /// How much of everything an earlier conversation had, which this one begins with.
    struct Beginning: Sendable {
        let messages: Int
        let slots: Int
        let imageSizes: Int
        let answerStart: Int
        let tools: ToolSet
    }

    /// One that begins, with a system message or none.
    init(_ messages: [Message] = []) {
        self.init(messages, .empty, [], answerStart: 0, tools: .none, earlier: [])
    }

    /// That one with its next question and answer; all three lists begin with its own.
    init(
        after before: Conversation, _ messages: [Message], _ feed: Feed, _ imageSizes: [PixelSize], answerStart: Int
    ) {
        self.init(
            messages, feed, imageSizes, answerStart: answerStart, tools: before.tools,
            earlier: before.earlier + [before.beginning])
    }

    init(
        _ messages: [Message], _ feed: Feed, _ imageSizes: [PixelSize], answerStart: Int, tools: ToolSet,
        earlier: [Beginning]
    ) {
        self.messages = messages
        self.feed = feed
        self.imageSizes = imageSizes
        self.answerStart = answerStart
        self.tools = tools
        self.earlier = earlier
    }

    /// The conversation without its last question and answer; nil at the start.
    public var before: Conversation? { earlier.isEmpty ? nil : cut(earlier.count - 1) }

    /// Of the last answer, whose results may come next.
    public var openCalls: [ToolCall] { messages.last?.calls ?? [] }

    /// The one that all of it began with.
    var start: Conversation { earlier.isEmpty ? self : cut(0) }

    var beginning: Beginning {
        Beginning(
            messages: messages.count, slots: feed.count, imageSizes: imageSizes.count, answerStart: answerStart,
            tools: tools)
    }

    /// For a turn that names these, or nil to go on as before. Throws ``PocketVLError/usage(_:)`` where it is too late.
    func with(_ tools: ToolSet?) throws(PocketVLError) -> Conversation {
        guard let tools, tools != self.tools else { return self }
        if feed.count > 0 {
            throw .usage(
                "The tools are part of a conversation's beginning and cannot change in it; give the same ones, reset()"
                    + " first, or pass the whole conversation as messages.")
        }
        return Conversation(
            messages, feed, imageSizes, answerStart: answerStart, tools: tools, earlier: earlier)
    }

    private func cut(_ number: Int) -> Conversation {
        let kept = earlier[number]
        return Conversation(
            Array(messages.prefix(kept.messages)), feed.first(kept.slots), Array(imageSizes.prefix(kept.imageSizes)),
            answerStart: kept.answerStart, tools: kept.tools, earlier: Array(earlier.prefix(number)))
    }
}
