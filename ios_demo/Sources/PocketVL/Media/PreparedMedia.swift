/// An image that is encoded already: a message may give it where it would give the image.
public struct EncodedImage: ImageSource {
    public let media: Media
    /// Of the image as it was given, upright.
    public let sourceSize: PixelSize
    public let notes: [String]

    public init(_ media: Media, sourceSize: PixelSize, notes: [String] = []) {
        self.media = media
        self.sourceSize = sourceSize
        self.notes = notes
    }

    public var name: String { "the encoded image" }
    public func readSize() -> PixelSize { sourceSize }

    public func read(for size: PixelSize) throws -> DecodedImage {
        throw PocketVLError.usage("An image that is encoded already has no pixels; give the image itself.")
    }
}

/// An image at the size in which it is encoded.
public struct PreparedImage: Sendable {
    public let grid: Grid
    /// Equal for equal pixels.
    public let key: String
    /// Of the image as it was given, upright.
    public let sourceSize: PixelSize
    /// What the user should know about how the image was read.
    public let notes: [String]
    let content: Content

    enum Content: Sendable {
        case pixels(RgbImage)
        case encoded(Media)
    }
}

/// A video of which it is known what will be encoded; its frames are read by
/// ``VisionPipeline/encode(_:isCancelled:)``.
public struct PreparedVideo: Sendable {
    public let options: VideoOptions
    public let plan: VideoPlan
    let source: any FrameSource
    let ownNotes: [String]

    public var grid: Grid { plan.grid }

    /// Complete after the frames were read.
    public var notes: [String] { source.notes + ownNotes }
}

/// What the encoder made of an image or video, and how many of its slices were known before.
public struct EncodedMedia: Sendable {
    public let media: Media
    public let cached: Int
}
