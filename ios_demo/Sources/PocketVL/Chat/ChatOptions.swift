/// What a chat is made with.
public struct ChatOptions: Sendable, Equatable {
    /// Replaces the template's default system turn.
    public var system: String?
    /// Of each image, instead of the bundle's; also of the frames of videos.
    public var minPixels: Int?
    public var maxPixels: Int?
    /// Whether the vision encoder stays in memory between images; else it is released after each turn's images are
    /// encoded.
    public var keepVision: Bool
    /// Whether images are numbered in the prompt, "Picture 1: ".
    public var addVisionID: Bool
    /// Whether an answer that repeats itself without end is ended.
    public var stopRepetition: Bool

    public init(
        system: String? = nil, minPixels: Int? = nil, maxPixels: Int? = nil, keepVision: Bool = false,
        addVisionID: Bool = false, stopRepetition: Bool = true
    ) {
        self.system = system
        self.minPixels = minPixels
        self.maxPixels = maxPixels
        self.keepVision = keepVision
        self.addVisionID = addVisionID
        self.stopRepetition = stopRepetition
    }
}
