/// What a chat gives back: text, tokens, positions, and what each stage took.
public struct Answer: Sendable {
    public let text: String
    /// As generated, the stop token included.
    public let tokenIDs: [Int]
    /// The whole conversation up to where the answer begins.
    public let promptTokenIDs: [Int]
    /// Rope position of the token that would follow the answer.
    public let nextPosition: Int
    public let stopReason: StopReason
    public let statistics: Statistics
    /// Of objects that the answer points at.
    public var boxes: [Box] = []
    public var quads: [Quad] = []
    /// Sentences about images and videos that were not read by the letter.
    public var notes: [String] = []
    /// That ended the text, where one did.
    public var stopString: String?
    /// Of each token of ``tokenIDs``, where they were asked for.
    public var logprobs: [Logprobs] = []
    /// Whose results are to come next.
    public var toolCalls: [ToolCall] = []

    /// Of a turn that was cancelled before its first token.
    static func nothing(
        promptTokenIDs: [Int] = [], nextPosition: Int, statistics: Statistics = Statistics(), notes: [String] = []
    ) -> Answer {
        Answer(
            text: "", tokenIDs: [], promptTokenIDs: promptTokenIDs, nextPosition: nextPosition,
            stopReason: .cancelled, statistics: statistics, notes: notes)
    }
}
