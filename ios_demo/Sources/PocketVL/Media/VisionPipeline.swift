import Foundation

/// Images and videos to embeddings: resize, patches, rope, encoder; each image, each slice of a video encoded once.
///
/// `prepare` is quick and says how many tokens an image takes; `encode` runs the encoder. For any thread.
public final class VisionPipeline: Sendable {
    /// Bytes of embeddings that are kept where nothing else is said.
    public static let cacheBytes = 256_000_000

    private let vision: VisionGeometry
    private let buckets: [Int]
    private let settings: ImageSettings
    private let engine: any VisionEngine
    private let cache: ImageCache

    /// - Parameters:
    ///   - settings: the bundle's, or a session's, see ``ImageSettings/ofSession(minPixels:maxPixels:)``.
    ///   - cacheBytes: of embeddings that are kept.
    public init(
        _ manifest: Manifest, _ settings: ImageSettings, _ engine: any VisionEngine, cacheBytes: Int = cacheBytes
    ) {
        vision = manifest.geometry.vision
        buckets = manifest.buckets
        self.settings = settings
        self.engine = engine
        cache = ImageCache(maxBytes: cacheBytes)
    }

    /// Reads and resizes an image. Throws ``PocketVLError/image(_:)``; ``PocketVLError/prompt(_:)`` for limits that
    /// contradict each other or what is encoded.
    public func prepare(
        _ source: any ImageSource, _ wanted: ImageSize = .asTheSession
    ) throws(PocketVLError) -> PreparedImage {
        if let encoded = source as? EncodedImage {
            try check(encoded, wanted)
            let media = encoded.media
            return PreparedImage(
                grid: media.grid, key: media.key, sourceSize: encoded.sourceSize, notes: encoded.notes,
                content: .encoded(media))
        }
        let given = try damageNamed(source.name) { try source.readSize() }
        let size = try wanted.resolve(given, vision: vision, settings: settings, buckets: buckets)
        let decoded = try damageNamed(source.name) { try source.read(for: size) }
        let resized = try Bicubic.resize(decoded.image, to: size)
        return PreparedImage(
            grid: Patches.grid(size, vision), key: resized.contentKey, sourceSize: given, notes: decoded.notes,
            content: .pixels(resized))
    }

    /// Says what of a video will be encoded. Throws ``PocketVLError/video(_:)``, ``PocketVLError/prompt(_:)``.
    public func prepare(
        _ source: any FrameSource, _ options: VideoOptions = .asTheRule
    ) throws(PocketVLError) -> PreparedVideo {
        let plan = try plan(source, options)
        var notes: [String] = []
        if source.info.times == nil, let fps = options.fps {
            notes.append("\(source.info.name) has no times, so fps \(String(format: "%g", fps)) changes nothing.")
        }
        return PreparedVideo(options: options, plan: plan, source: source, ownNotes: notes)
    }

    /// Settings each of which alone brings a video that is too long to at most `room` tokens; empty where nothing
    /// helps.
    public func settingsThatFit(_ video: PreparedVideo, room: Int) -> [String] {
        VideoFit(
            info: video.source.info, wanted: video.options, plan: video.plan, factor: vision.factor, room: room,
            planWith: { (options) throws(PocketVLError) in try self.plan(video.source, options) }
        ).settings()
    }

    /// How many tokens a grid takes in a prompt.
    public func tokens(_ grid: Grid) -> Int { grid.tokens(merge: vision.spatialMergeSize) }

    /// Both steps for an image. Throws what they throw.
    public func encodeNow(_ source: any ImageSource) throws(PocketVLError) -> EncodedImage {
        let prepared = try prepare(source)
        return EncodedImage(
            try encode(prepared).media, sourceSize: prepared.sourceSize, notes: prepared.notes)
    }

    /// The embeddings of an image (tokens, outputSize). Throws ``PocketVLError/engine(_:)``.
    public func encode(_ prepared: PreparedImage) throws(PocketVLError) -> EncodedMedia {
        switch prepared.content {
        case .encoded(let media): return EncodedMedia(media: media, cached: 1)
        case .pixels(let image):
            if let known = cache[prepared.key] { return EncodedMedia(media: known, cached: 1) }
            let rope = Positions.visionRope(rows: prepared.grid.h, columns: prepared.grid.w, vision)
            let embeddings = try encode(Patches.of(image, vision, settings), rope, tokens(prepared.grid))
            let media = Media(grid: prepared.grid, key: prepared.key, embeddings: embeddings)
            cache.put(media.key, media)
            return EncodedMedia(media: media, cached: 0)
        }
    }

    /// The embeddings of a video (tokens, outputSize), one slice encoded after the other; nil where it was cancelled,
    /// which is asked before each slice.
    ///
    /// The frames of one slice are in memory at a time, and its embeddings twice, in the video's and in the cache.
    /// Throws ``PocketVLError/video(_:)``, ``PocketVLError/engine(_:)``.
    public func encode(
        _ prepared: PreparedVideo, isCancelled: () -> Bool = { false }
    ) throws(PocketVLError) -> EncodedMedia? {
        let slice = Grid(t: 1, h: prepared.grid.h, w: prepared.grid.w)
        let rope = Positions.visionRope(rows: slice.h, columns: slice.w, vision)
        var reader = try SliceReader(prepared.source, prepared.plan, depth: vision.temporalPatchSize)
        var values: [Float] = []
        values.reserveCapacity(tokens(prepared.grid) * vision.outputSize)
        var key = "video \(prepared.grid.t)"
        var cachedSlices = 0
        for _ in 0..<prepared.grid.t {
            if isCancelled() { return nil }
            let frames = try reader.next()
            let sliceKey = Self.key(of: frames)
            key += sliceKey
            let media: Media
            if let known = cache[sliceKey] {
                media = known
                cachedSlices += 1
            } else {
                let own = try encode(Patches.of(frames, vision, settings), rope, tokens(slice))
                media = Media(grid: slice, key: sliceKey, embeddings: own)
            }
            cache.put(sliceKey, media)
            values += media.embeddings.values
        }
        let embeddings = try Matrix(rows: tokens(prepared.grid), columns: vision.outputSize, values: values)
        let media = Media(grid: prepared.grid, key: Digest.hex(of: Array(key.utf8)), embeddings: embeddings)
        return EncodedMedia(media: media, cached: cachedSlices)
    }

    /// Has an image's embeddings without running the encoder.
    public func remember(_ media: Media) { cache.put(media.key, media) }

    /// Frees the encoder's memory until the next image that is not cached.
    public func release() { engine.release() }

    /// Frees the embeddings that are kept.
    public func forget() { cache.clear() }

    private func plan(_ source: any FrameSource, _ options: VideoOptions) throws(PocketVLError) -> VideoPlan {
        try VideoPlan(source.info, options, vision: vision, settings: settings, buckets: buckets)
    }

    private func encode(_ patches: Matrix, _ rope: Rope, _ tokens: Int) throws(PocketVLError) -> Matrix {
        let embeddings = try engine.encode(patches: patches, rope: rope)
        if embeddings.rows != tokens || embeddings.columns != vision.outputSize {
            throw .engine(
                "The vision encoder gave \(embeddings.rows) x \(embeddings.columns) values where"
                    + " \(tokens) x \(vision.outputSize) belong; the artifact is damaged: export the bundle again.")
        }
        return embeddings
    }

    private func check(_ source: EncodedImage, _ wanted: ImageSize) throws(PocketVLError) {
        if wanted != .asTheSession {
            throw .prompt("An image that is encoded already keeps its size; leave out the part's own.")
        }
        let size = source.media.embeddings.columns
        if size != vision.outputSize {
            throw .prompt(
                "This image was encoded to \(size) values a token, but this bundle takes \(vision.outputSize); encode"
                    + " it with a session of this bundle.")
        }
    }

    /// Equal for equal pixels of all frames; never that of an image.
    private static func key(of frames: [RgbImage]) -> String {
        Digest.hex(of: Array((["slice"] + frames.map(\.contentKey)).joined(separator: " ").utf8))
    }
}
