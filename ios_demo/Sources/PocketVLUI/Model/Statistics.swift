/// Seconds and counts of one answer.
public struct Statistics: Sendable, Equatable {
    public var visionSeconds = 0.0
    public var imagesEncoded = 0
    public var imagesCached = 0
    public var prefillSeconds = 0.0
    public var prefillTokens = 0
    public var reusedTokens = 0
    public var decodeSeconds = 0.0
    public var decodeTokens = 0
    public var timeToFirstToken = 0.0

    public init() {}
    public var prefillRate: Double { prefillSeconds > 0 ? Double(prefillTokens) / prefillSeconds : 0 }
    public var decodeRate: Double { decodeSeconds > 0 ? Double(decodeTokens) / decodeSeconds : 0 }
}
