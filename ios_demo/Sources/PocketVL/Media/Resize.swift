/// Which size an image gets before it is cut into patches. Sizes in pixels unless said.
public enum Resize {
    public static let maxAspectRatio = 200

    /// Sides above are no image's; below, their product fits an `Int` many times over.
    private static let mostSide = 1 << 30

    /// Sides as multiples of `factor`, near the aspect ratio, about min..max pixels.
    ///
    /// The rule of qwen-vl-utils, the model's own utility. Very long images may end above maxPixels, because no side
    /// goes below `factor`; ``toBucket(_:vision:settings:buckets:)`` bounds those. Throws ``PocketVLError/image(_:)``
    /// beyond 1:200.
    public static func smart(
        _ size: PixelSize, factor: Int, minPixels: Int, maxPixels: Int
    ) throws(PocketVLError) -> PixelSize {
        let (height, width) = (size.height, size.width)
        if min(height, width) < 1 {
            throw .image("An image of \(size) pixels has nothing in it; give another one.")
        }
        if max(height, width) > mostSide { throw .image("An image cannot have \(size) pixels; give another one.") }
        if max(height, width) > maxAspectRatio * min(height, width) {
            throw .image(
                "An image of \(size) pixels is longer than \(maxAspectRatio) times its other side, which the model"
                    + " cannot take; crop it or cut it into pieces.")
        }
        let near = PixelSize(height: nearest(height, factor), width: nearest(width, factor))
        if near.pixels > maxPixels { return shrunk(size, factor, maxPixels) }
        if near.pixels < minPixels {
            let scale = (Double(minPixels) / Double(height * width)).squareRoot()
            return PixelSize(
                height: multiple(Double(height) * scale / Double(factor), .up, factor),
                width: multiple(Double(width) * scale / Double(factor), .up, factor))
        }
        return near
    }

    /// ``smart(_:factor:minPixels:maxPixels:)`` under both the settings' limits and the largest bucket; the result
    /// always fits. Throws ``PocketVLError/image(_:)`` beyond 1:200.
    public static func toBucket(
        _ size: PixelSize, vision: VisionGeometry, settings: ImageSettings, buckets: [Int]
    ) throws(PocketVLError) -> PixelSize {
        let room = Saturating.product(buckets.max() ?? 0, vision.patchSize * vision.patchSize)
        let maxPixels = min(settings.maxPixels, room)
        let found = try smart(
            size, factor: vision.factor, minPixels: min(settings.minPixels, maxPixels), maxPixels: maxPixels)
        if found.pixels <= room { return found }
        // Rounding up to the lower limit, or a long side beside one that is `factor` already, went over.
        let smaller = shrunk(size, vision.factor, room)
        if smaller.pixels <= room { return smaller }
        let longest = room / (vision.factor * vision.factor) * vision.factor
        return PixelSize(height: min(smaller.height, longest), width: min(smaller.width, longest))
    }

    private static func shrunk(_ size: PixelSize, _ factor: Int, _ maxPixels: Int) -> PixelSize {
        let scale = (Double(size.height * size.width) / Double(maxPixels)).squareRoot()
        return PixelSize(
            height: max(factor, multiple(Double(size.height) / scale / Double(factor), .down, factor)),
            width: max(factor, multiple(Double(size.width) / scale / Double(factor), .down, factor)))
    }

    /// Halves go to the even number: 70 / 28 = 2.5 becomes 2.
    private static func nearest(_ side: Int, _ factor: Int) -> Int {
        max(factor, multiple(Double(side) / Double(factor), .toNearestOrEven, factor))
    }

    private static func multiple(_ count: Double, _ rule: FloatingPointRoundingRule, _ factor: Int) -> Int {
        Saturating.product(Int(exactly: count.rounded(rule)) ?? .max, factor)
    }
}
