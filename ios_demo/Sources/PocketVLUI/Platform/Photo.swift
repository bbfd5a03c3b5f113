import Foundation
import PocketVL

/// An image that the user attached: the name of a file in the app's folder of photos, and its size upright, in pixels,
/// as the EXIF orientation says. Boxes of answers are in these pixels.
public struct Photo: Sendable, Hashable {
    /// Without a folder, whose path changes when the app is updated.
    public let file: String
    /// For people.
    public let name: String
    public let size: PixelSize

    public init(file: String, name: String, size: PixelSize) {
        self.file = file
        self.name = name
        self.size = size
    }
}

/// Looks at the app's photos, and decodes them.
public protocol PhotoReader: Sendable {
    /// Reads the header only. Throws ``PocketVL/PocketVLError/image(_:)``: not there any more, or no image.
    func read(_ file: String) async throws -> Photo

    /// Reads nothing yet: what is wrong is thrown when the image is read.
    func open(_ photo: Photo) -> any ImageSource
}
