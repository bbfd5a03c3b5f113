/// The size in pixels in which an image is encoded, and the tokens that it takes.
public struct MeasuredImage: Sendable, Equatable {
    public let width: Int
    public let height: Int
    public let tokens: Int
}

/// How many frames of a video are encoded, their size in pixels, and the tokens that all of them take.
public struct MeasuredVideo: Sendable, Equatable {
    public let frames: Int
    public let width: Int
    public let height: Int
    public let tokens: Int
}
