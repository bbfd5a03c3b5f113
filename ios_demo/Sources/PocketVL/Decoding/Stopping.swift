/// Why an answer ended.
public enum StopReason: String, Sendable, CaseIterable {
    /// The model ended it, a stop string was found, or nothing can follow under a constraint.
    case stop
    /// maxTokens were said.
    case length
    /// The context is full.
    case context
    case cancelled
    /// It said the same thing over and over.
    case repetition
    /// It waits for the results of tools.
    case toolCalls = "tool_calls"
}

/// When an answer ends: a rule over its tokens, asked after each of them.
public struct StopRule: Sendable, Equatable {
    /// Ids that end an answer.
    public let eos: [Int]
    /// As many as are wanted.
    public let maxTokens: Int
    /// Slots of the context that the prompt leaves.
    public let room: Int
    /// Whether an answer that repeats itself without end is ended.
    public let repetition: Bool

    public init(eos: [Int], maxTokens: Int, room: Int, repetition: Bool) {
        self.eos = eos
        self.maxTokens = maxTokens
        self.room = room
        self.repetition = repetition
    }

    /// Tokens that an answer can have: one more than fits, which is not fed any more.
    public var most: Int { min(maxTokens, Saturating.sum(room, 1)) }

    /// Why the answer ends with the last of these tokens; nil if it goes on.
    ///
    /// isWhole: a stop string was found, or nothing can follow under a constraint.
    public func reason(_ tokenIDs: [Int], cancelled: Bool, isWhole: Bool = false) -> StopReason? {
        if isWhole || tokenIDs.last.map(eos.contains) ?? false { return .stop }
        if cancelled { return .cancelled }
        if tokenIDs.count >= maxTokens { return .length }
        if tokenIDs.count > room { return .context }
        return repetition && Repetition.repeats(tokenIDs) ? .repetition : nil
    }
}
