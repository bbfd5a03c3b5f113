/// Seconds and counts of one answer.
public struct Statistics: Sendable, Equatable {
    /// Encoding, and reading a video's frames.
    public var visionSeconds = 0.0
    public var imagesEncoded = 0
    /// Images whose embeddings were there already.
    public var imagesCached = 0
    public var prefillSeconds = 0.0
    /// Tokens fed before the first new one; those in the cache are not fed again.
    public var prefillTokens = 0
    /// Tokens of the prompt whose keys and values were in the cache.
    public var reusedTokens = 0
    public var decodeSeconds = 0.0
    /// Tokens after the first.
    public var decodeTokens = 0
    /// Seconds from the call to the first token, loading and vision included.
    public var timeToFirstToken = 0.0
    /// By prompt lookup.
    public var draftedTokens = 0
    /// Of those: drafts that became tokens of the answer.
    public var acceptedTokens = 0
    /// Of videos: two frames each.
    public var slicesEncoded = 0
    public var slicesCached = 0

    public init() {}

    /// Tokens per second.
    public var prefillRate: Double { prefillSeconds > 0 ? Double(prefillTokens) / prefillSeconds : 0 }

    /// Tokens per second.
    public var decodeRate: Double { decodeSeconds > 0 ? Double(decodeTokens) / decodeSeconds : 0 }
}
