/// What a message says about one video: which of its frames, and how large. nil is the rule's own choice, see
/// ``VideoPlan``.
public struct VideoOptions: Sendable, Hashable {
    /// Frames taken per second.
    public var fps: Double?
    /// How many frames in all, instead of by `fps`.
    public var nframes: Int?
    /// Bounds where fps decides, as the next.
    public var minFrames: Int?
    public var maxFrames: Int?
    /// Of one frame, as the next.
    public var minPixels: Int?
    public var maxPixels: Int?
    /// Of all temporal slices together.
    public var totalPixels: Int?
    /// Instead of the video's own sides; both or none.
    public var resizedHeight: Int?
    public var resizedWidth: Int?
    /// Seconds, as the next.
    public var videoStart: Double?
    public var videoEnd: Double?

    public static let asTheRule = VideoOptions()

    /// Pixels, frames, seconds: far above what any video has.
    private static let most = 1 << 40

    public init(
        fps: Double? = nil, nframes: Int? = nil, minFrames: Int? = nil, maxFrames: Int? = nil, minPixels: Int? = nil,
        maxPixels: Int? = nil, totalPixels: Int? = nil, resizedHeight: Int? = nil, resizedWidth: Int? = nil,
        videoStart: Double? = nil, videoEnd: Double? = nil
    ) {
        self.fps = fps
        self.nframes = nframes
        self.minFrames = minFrames
        self.maxFrames = maxFrames
        self.minPixels = minPixels
        self.maxPixels = maxPixels
        self.totalPixels = totalPixels
        self.resizedHeight = resizedHeight
        self.resizedWidth = resizedWidth
        self.videoStart = videoStart
        self.videoEnd = videoEnd
    }

    /// Throws ``PocketVLError/prompt(_:)`` for values that cannot be meant, and for pairs that contradict each other.
    func check() throws(PocketVLError) {
        try checkWhole()
        try checkReal("fps", fps, least: 1e-9, "frames a second, above 0")
        try checkReal("video_start", videoStart, least: 0, "seconds, 0 or more")
        try checkReal("video_end", videoEnd, least: 0, "seconds, 0 or more")
        if fps != nil && nframes != nil { throw .prompt("A video gives both fps and nframes; leave one out.") }
        if nframes != nil && (minFrames != nil || maxFrames != nil) {
            throw .prompt(
                "A video gives nframes, so that min_frames and max_frames mean nothing; leave them out.")
        }
        if (resizedHeight == nil) != (resizedWidth == nil) {
            throw .prompt("A video gives only one of resized_height and resized_width; give both.")
        }
        try checkPair("min_frames", minFrames, "max_frames", maxFrames)
        try checkPair("min_pixels", minPixels, "max_pixels", maxPixels)
        try checkPair("video_start", videoStart, "video_end", videoEnd)
    }

    private func checkWhole() throws(PocketVLError) {
        let given = [
            ("nframes", nframes), ("min_frames", minFrames), ("max_frames", maxFrames), ("min_pixels", minPixels),
            ("max_pixels", maxPixels), ("total_pixels", totalPixels), ("resized_height", resizedHeight),
            ("resized_width", resizedWidth),
        ]
        for (name, value) in given {
            let least = name.hasSuffix("frames") ? 2 : 1
            if let value, !(least...Self.most).contains(value) {
                throw .prompt("video.\(name) must be a whole number from \(least) to \(Self.most), not \(value).")
            }
        }
    }

    private func checkReal(_ name: String, _ value: Double?, least: Double, _ unit: String) throws(PocketVLError) {
        if let value, !(value >= least && value <= Double(Self.most)) {
            throw .prompt("video.\(name) must be a number of \(unit), not \(value).")
        }
    }

    private func checkPair<Value: Comparable>(
        _ low: String, _ least: Value?, _ high: String, _ most: Value?
    ) throws(PocketVLError) {
        if let least, let most, least > most {
            throw .prompt("video.\(low) \(least) lies above its \(high) \(most); swap them.")
        }
    }
}
