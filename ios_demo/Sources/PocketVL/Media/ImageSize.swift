/// What a message says about the size of one image; what is nil is as for every image of the session.
///
/// resizedHeight and resizedWidth stand for the image's own height and width, and go together.
public struct ImageSize: Sendable, Hashable {
    public enum Detail: String, Sendable {
        case auto
        /// At most the smallest bucket.
        case low
        /// As `auto`.
        case high
    }

    public var minPixels: Int?
    public var maxPixels: Int?
    public var resizedHeight: Int?
    public var resizedWidth: Int?
    public var detail: Detail

    public static let asTheSession = ImageSize()

    private static let most = 1 << 30  // pixels, far above any bucket

    public init(
        minPixels: Int? = nil, maxPixels: Int? = nil, resizedHeight: Int? = nil, resizedWidth: Int? = nil,
        detail: Detail = .auto
    ) {
        self.minPixels = minPixels
        self.maxPixels = maxPixels
        self.resizedHeight = resizedHeight
        self.resizedWidth = resizedWidth
        self.detail = detail
    }

    /// The size in which an image of a size is encoded: multiples of vision.factor.
    ///
    /// The rule of qwen-vl-utils' smart_resize, but never above the largest bucket, whatever is wanted. Throws
    /// ``PocketVLError/prompt(_:)`` for values that cannot be meant or that contradict each other,
    /// ``PocketVLError/image(_:)`` beyond 1:200.
    public func resolve(
        _ size: PixelSize, vision: VisionGeometry, settings: ImageSettings, buckets: [Int]
    ) throws(PocketVLError) -> PixelSize {
        try check()
        let limits = try limits(settings)
        let allowed = detail == .low ? buckets.min().map { [$0] } ?? [] : buckets
        let wanted = PixelSize(height: resizedHeight ?? size.height, width: resizedWidth ?? size.width)
        return try Resize.toBucket(wanted, vision: vision, settings: limits, buckets: allowed)
    }

    /// The settings with the pixel limits of one image.
    private func limits(_ settings: ImageSettings) throws(PocketVLError) -> ImageSettings {
        let (least, most) = (minPixels ?? settings.minPixels, maxPixels ?? settings.maxPixels)
        do {
            return try settings.with(minPixels: least, maxPixels: most)
        } catch {
            throw .prompt(
                "An image's min_pixels \(least) lies above its max_pixels \(most) (what a part does not give is the"
                    + " session's); give both.")
        }
    }

    private func check() throws(PocketVLError) {
        let given = [
            ("min_pixels", minPixels), ("max_pixels", maxPixels), ("resized_height", resizedHeight),
            ("resized_width", resizedWidth),
        ]
        for (name, value) in given {
            guard let value else { continue }
            if value < 1 { throw .prompt("\(name) must be a whole number of pixels, 1 or more, not \(value).") }
            if value > Self.most { throw .prompt("\(name) must be at most \(Self.most).") }
        }
        if (resizedHeight == nil) != (resizedWidth == nil) {
            throw .prompt("An image gives only one of resized_height and resized_width; give both.")
        }
    }
}

extension ImageSettings {
    /// The bundle's settings with the limits of a session. Throws ``PocketVLError/usage(_:)``.
    public func ofSession(minPixels: Int?, maxPixels: Int?) throws(PocketVLError) -> ImageSettings {
        do {
            return try with(minPixels: minPixels ?? self.minPixels, maxPixels: maxPixels ?? self.maxPixels)
        } catch {
            throw .usage("These pixel limits cannot be used: \(error.message).")
        }
    }
}
