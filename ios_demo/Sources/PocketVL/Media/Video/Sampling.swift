/// What is known of a video before its frames are read.
public struct VideoInfo: Sendable, Equatable {
    /// For messages.
    public let name: String
    public let frames: Int
    /// Of the upright frames.
    public let size: PixelSize
    /// Of each frame in ascending order, in seconds after the first one; nil for a list of frames, which has no times.
    public let times: [Double]?
    /// How long the video lasts.
    public let seconds: Double

    public init(name: String, frames: Int, size: PixelSize, times: [Double]? = nil, seconds: Double = 0) {
        self.name = name
        self.frames = frames
        self.size = size
        self.times = times
        self.seconds = seconds
    }
}

/// Which frames of a video are encoded, and how large: the rule of qwen-vl-utils, the model's own utility.
///
/// Nothing here reads a video: what it takes is known before any frame is encoded. Frames are taken
/// temporalPatchSize (two) at a time, a slice each. Where the versions of qwen-vl-utils differ, this follows the newer:
/// the number of frames is rounded down to an even one, and totalPixels holds for an explicit maxPixels, too.
public struct VideoPlan: Sendable, Equatable {
    /// Frames to encode, ascending, a multiple of temporalPatchSize of them.
    public let indices: [Int]
    public let size: PixelSize
    /// Patches; t are slices.
    public let grid: Grid

    static let fps = 2.0
    static let minFrames = 4
    static let maxFrames = 768
    // Tokens of a frame, and of all slices together; a token is vision.factor^2 pixels.
    static let minTokens = 128
    static let maxTokens = 768
    static let totalTokens = 24576
    private static let aboveMin = 1.05  // how far above minPixels a frame may get whatever the total says
    static let tolerance = 1e-6  // seconds, or frames: 19.9999999 frames are 20

    /// What of a video is encoded. Throws ``PocketVLError/video(_:)``, ``PocketVLError/prompt(_:)`` for limits that
    /// contradict each other, ``PocketVLError/image(_:)`` beyond 1:200.
    public init(
        _ info: VideoInfo, _ wanted: VideoOptions, vision: VisionGeometry, settings: ImageSettings, buckets: [Int]
    ) throws(PocketVLError) {
        try wanted.check()
        indices = try FrameSampling(info, wanted, factor: vision.temporalPatchSize).indices()
        size = try Self.size(
            info.size, count: indices.count, wanted, vision: vision, settings: settings, buckets: buckets)
        grid = Patches.grid(size, vision, slices: indices.count / vision.temporalPatchSize)
    }

    /// Placeholder tokens of all slices. factor: pixels along one side of a token.
    func tokens(factor: Int) -> Int { grid.t * (size.height / factor) * (size.width / factor) }

    /// In which each of `count` frames of a size is encoded.
    ///
    /// At least 128 and at most 768 tokens per frame, and 24576 in all slices together, which gives way to the least
    /// size; never above the session's maxPixels nor the largest bucket, which go before everything. With
    /// resizedHeight and resizedWidth the session's limits of images hold instead.
    private static func size(
        _ size: PixelSize, count: Int, _ wanted: VideoOptions, vision: VisionGeometry, settings: ImageSettings,
        buckets: [Int]
    ) throws(PocketVLError) -> PixelSize {
        let own = PixelSize(
            height: wanted.resizedHeight ?? size.height, width: wanted.resizedWidth ?? size.width)
        let (low, high) = try limits(count: count, wanted, vision, settings)
        var buckets = buckets
        if low == high {  // scaled up to `low`, and rounded up, a frame would come out above `high`
            let room = min(buckets.max() ?? 0, high / (vision.patchSize * vision.patchSize))
            buckets = [max(vision.mergeArea, room)]
        }
        let limited: ImageSettings
        do {
            limited = try settings.with(minPixels: low, maxPixels: high)
        } catch {
            throw .prompt("These pixel limits of a video cannot be used: \(error.message).")
        }
        return try Resize.toBucket(own, vision: vision, settings: limited, buckets: buckets)
    }

    private static func limits(
        count: Int, _ wanted: VideoOptions, _ vision: VisionGeometry, _ settings: ImageSettings
    ) throws(PocketVLError) -> (low: Int, high: Int) {
        let token = vision.factor * vision.factor
        let isSized = wanted.resizedHeight != nil
        let low = wanted.minPixels ?? (isSized ? settings.minPixels : minTokens * token)
        let most =
            wanted.maxPixels ?? (isSized ? settings.maxPixels : min(settings.maxPixels, maxTokens * token))
        if wanted.minPixels != nil && low > most {
            throw .prompt(
                "A video's min_pixels \(low) lies above its max_pixels \(most) (what a part does not give is the"
                    + " session's); give both.")
        }
        var high = most
        if !isSized || wanted.totalPixels != nil {
            let total = wanted.totalPixels ?? totalTokens * token
            let budget = Saturating.product(total, vision.temporalPatchSize) / count
            high = min(most, max(budget, Int(exactly: (Double(low) * aboveMin).rounded(.down)) ?? .max))
        }
        return (min(low, high), high)
    }
}
