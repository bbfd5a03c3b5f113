/// What a caller may say about one question, beside its content.
public struct AskOptions: Sendable {
    /// Of the answer, at least 1.
    public var maxTokens: Int
    public var sampling: Sampling
    /// Up to 4 texts; the answer ends before the first of them.
    public var stop: [String]
    /// How many likeliest tokens, 0 to 20, ``Answer/logprobs`` lists at each token; 0 leaves it empty.
    public var logprobs: Int
    /// Whether tokens are drafted from what was said before: faster where an answer quotes, but tokens that are
    /// toss-ups may come out otherwise if the bundle is quantized.
    public var lookup: Bool
    /// What the model may call; named with a conversation's first turn, they stay. nil: as before.
    public var tools: [Tool]?
    /// Whether it may make several calls at once, where ``tools`` are named.
    public var parallelToolCalls: Bool

    public init(
        maxTokens: Int = 256, sampling: Sampling = Sampling(), stop: [String] = [], logprobs: Int = 0,
        lookup: Bool = false, tools: [Tool]? = nil, parallelToolCalls: Bool = false
    ) {
        self.maxTokens = maxTokens
        self.sampling = sampling
        self.stop = stop
        self.logprobs = logprobs
        self.lookup = lookup
        self.tools = tools
        self.parallelToolCalls = parallelToolCalls
    }
}
