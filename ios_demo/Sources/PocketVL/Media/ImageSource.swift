import Foundation

/// An image that a message may show: ``RgbImage``, ``EncodedImage``, or the app's own, over the platform's decoder.
///
/// What a decoder must deliver, so that an answer is the same as in Python: colours in sRGB, 8 bits, upright (turned by
/// the EXIF orientation), transparency on white, of an animation the first frame; whole up to 2^25 pixels, larger
/// images sampled down while they are decoded.
///
/// ``readSize()`` and ``read(for:)`` are called from whichever thread encodes, ``readSize()`` first. They may block.
public protocol ImageSource: Sendable {
    /// For messages: a file's name, "the photo".
    var name: String { get }

    /// Of the upright image, before anything is sampled down; only a header is read.
    func readSize() throws -> PixelSize

    /// The upright image. It may have been sampled down while it was decoded, but to no side shorter than `size`, in
    /// which it will be encoded: the pipeline resizes what has another size.
    ///
    /// Whatever is thrown that is no ``PocketVLError`` becomes one that names the image.
    func read(for size: PixelSize) throws -> DecodedImage
}

/// What a decoder gives.
public struct DecodedImage: Sendable {
    public let image: RgbImage
    /// Sentences about what was not read by the letter.
    public let notes: [String]

    public init(_ image: RgbImage, notes: [String] = []) {
        self.image = image
        self.notes = notes
    }
}

extension RgbImage: ImageSource {
    public var name: String { "the given image" }
    public func readSize() -> PixelSize { size }
    public func read(for size: PixelSize) -> DecodedImage { DecodedImage(self) }
}

/// Whatever a decoder throws becomes a ``PocketVLError/image(_:)`` that names the image.
func damageNamed<Value>(_ name: String, _ read: () throws -> Value) throws(PocketVLError) -> Value {
    do {
        return try read()
    } catch let error as PocketVLError {
        throw error
    } catch {
        throw .image(
            "\(name) is damaged or cut off (\(error.localizedDescription)); copy the image again or save it anew.")
    }
}
