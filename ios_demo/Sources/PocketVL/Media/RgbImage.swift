/// Height and width in pixels.
public struct PixelSize: Sendable, Hashable, CustomStringConvertible {
    public let height: Int
    public let width: Int

    public init(height: Int, width: Int) {
        self.height = height
        self.width = width
    }

    /// Their product, or the largest `Int`.
    public var pixels: Int { Saturating.product(height, width) }

    /// As people write it, the width first.
    public var description: String { "\(width)x\(height)" }
}

/// Upright sRGB pixels of 8 bits, without transparency: `pixels[3 * (y * width + x)]` is red, green and blue follow.
public struct RgbImage: Sendable, Equatable {
    public let width: Int
    public let height: Int
    public let pixels: [UInt8]

    /// Throws ``PocketVLError/image(_:)`` where the number of bytes is not 3 * width * height.
    public init(width: Int, height: Int, pixels: [UInt8]) throws(PocketVLError) {
        let wanted = Saturating.product(3, PixelSize(height: height, width: width).pixels)
        guard width > 0, height > 0, pixels.count == wanted else {
            throw .image("\(pixels.count) bytes are not \(width) x \(height) pixels of 3 bytes; give RGB pixels.")
        }
        self.width = width
        self.height = height
        self.pixels = pixels
    }

    public var size: PixelSize { PixelSize(height: height, width: width) }

    /// SHA-256 in hex over size and pixels: equal keys, equal images, in every language.
    public var contentKey: String {
        var digest = Digest()
        Array("RGB \(width) \(height) ".utf8).withUnsafeBytes { digest.update($0) }
        pixels.withUnsafeBytes { digest.update($0) }
        return digest.hex()
    }
}
