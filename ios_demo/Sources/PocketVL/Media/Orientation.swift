/// How stored pixels must be turned to be upright, by EXIF's numbers; also CGImagePropertyOrientation's.
public enum Orientation: Int, Sendable, CaseIterable {
    case upright = 1
    case flipLeftRight
    case rotate180
    case flipTopBottom
    case transpose
    case rotateClockwise
    case transverse
    case rotateCounterclockwise

    /// Whether rows become columns.
    public var swapsSides: Bool { rawValue >= Self.transpose.rawValue }
}

extension RgbImage {
    /// Turned upright.
    public func upright(from orientation: Orientation) throws(PocketVLError) -> RgbImage {
        if orientation == .upright { return self }
        let (newWidth, newHeight) = orientation.swapsSides ? (height, width) : (width, height)
        var turned = [UInt8](repeating: 0, count: pixels.count)
        turned.withUnsafeMutableBufferPointer { turned in
            pixels.withUnsafeBufferPointer { pixels in
                var place = 0
                for y in 0..<newHeight {
                    for x in 0..<newWidth {
                        let (row, column) = stored(orientation, y, x)
                        let source = 3 * (row * width + column)
                        turned[place] = pixels[source]
                        turned[place + 1] = pixels[source + 1]
                        turned[place + 2] = pixels[source + 2]
                        place += 3
                    }
                }
            }
        }
        return try RgbImage(width: newWidth, height: newHeight, pixels: turned)
    }

    /// Of RGBA pixels whose colours are not multiplied by alpha, on white, rounded in fixed point as Pillow rounds.
    ///
    /// Throws ``PocketVLError/image(_:)`` where the number of bytes is not 4 * width * height.
    public init(width: Int, height: Int, rgba: [UInt8]) throws(PocketVLError) {
        let count = PixelSize(height: height, width: width).pixels
        guard width > 0, height > 0, rgba.count == Saturating.product(4, count) else {
            throw .image("\(rgba.count) bytes are not \(width) x \(height) pixels of 4 bytes; give RGBA pixels.")
        }
        var pixels: [UInt8] = []
        pixels.reserveCapacity(3 * count)
        for start in stride(from: 0, to: rgba.count, by: 4) {
            let alpha = Int(rgba[start + 3])
            for channel in 0..<3 {
                let sum = (Int(rgba[start + channel]) * alpha + 255 * (255 - alpha) + 128) << 7
                pixels.append(UInt8(truncatingIfNeeded: ((sum >> 8) + sum) >> 15))
            }
        }
        try self.init(width: width, height: height, pixels: pixels)
    }

    /// Where the pixel in row y and column x of the upright image is stored.
    private func stored(_ orientation: Orientation, _ y: Int, _ x: Int) -> (row: Int, column: Int) {
        switch orientation {
        case .upright: (y, x)
        case .flipLeftRight: (y, width - 1 - x)
        case .rotate180: (height - 1 - y, width - 1 - x)
        case .flipTopBottom: (height - 1 - y, x)
        case .transpose: (x, y)
        case .rotateClockwise: (height - 1 - x, y)
        case .transverse: (height - 1 - x, width - 1 - y)
        case .rotateCounterclockwise: (x, width - 1 - y)
        }
    }
}
