#if canImport(ImageIO) && canImport(CoreGraphics)
    import CoreGraphics
    import Foundation
    import ImageIO
    import PocketVL

    /// An image file, decoded no larger than it is needed, upright, in sRGB and on white.
    public struct PhotoFile: ImageSource {
        public let name: String
        private let file: URL

        /// Reads nothing yet.
        public init(_ file: URL, name: String) {
            self.file = file
            self.name = name
        }

        public func readSize() throws -> PixelSize {
            guard let properties = CGImageSourceCopyPropertiesAtIndex(try source(), 0, nil) as? [CFString: Any],
                let width = properties[kCGImagePropertyPixelWidth] as? Int,
                let height = properties[kCGImagePropertyPixelHeight] as? Int
            else { throw damaged() }
            let number = properties[kCGImagePropertyOrientation] as? Int ?? Orientation.upright.rawValue
            let isTurned = Orientation(rawValue: number)?.swapsSides ?? false
            return isTurned ? PixelSize(height: width, width: height) : PixelSize(height: height, width: width)
        }

        /// ImageIO's thumbnail, with no side shorter than that of `size`.
        public func read(for size: PixelSize) throws -> DecodedImage {
            let whole = try readSize()
            // The longer side that makes both sides at least as long as wanted.
            let scale = max(
                Double(size.width) / Double(whole.width), Double(size.height) / Double(whole.height))
            let longest = max(whole.width, whole.height)
            // One more, since ImageIO rounds the other side.
            let wanted = min(longest, Int((Double(longest) * scale).rounded(.up)) + 1)
            let notes = wanted < longest ? ["\(name) was sampled down while it was decoded."] : []
            return DecodedImage(try Self.rgb(try thumbnail(longest: wanted), name), notes: notes)
        }

        /// For the screen: upright, no side longer than `longest` pixels.
        public func thumbnail(longest: Int) throws -> CGImage {
            let options: [CFString: Any] = [
                kCGImageSourceCreateThumbnailFromImageAlways: true,
                kCGImageSourceCreateThumbnailWithTransform: true,
                kCGImageSourceThumbnailMaxPixelSize: max(longest, 1),
                kCGImageSourceShouldCacheImmediately: true,
            ]
            guard let image = CGImageSourceCreateThumbnailAtIndex(try source(), 0, options as CFDictionary) else {
                throw damaged()
            }
            return image
        }

        /// 8-bit sRGB on white, whatever the image's colour space is.
        static func rgb(_ image: CGImage, _ name: String) throws -> RgbImage {
            let (width, height) = (image.width, image.height)
            guard let space = CGColorSpace(name: CGColorSpace.sRGB),
                let context = CGContext(
                    data: nil, width: width, height: height, bitsPerComponent: 8, bytesPerRow: width * 4, space: space,
                    bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
            else { throw PocketVLError.image("\(name) does not fit into memory; choose a smaller image.") }
            let frame = CGRect(x: 0, y: 0, width: width, height: height)
            context.setFillColor(red: 1, green: 1, blue: 1, alpha: 1)
            context.fill(frame)
            context.draw(image, in: frame)
            guard let data = context.data else { throw PocketVLError.image("\(name) cannot be drawn.") }
            let rgbx = UnsafeRawBufferPointer(start: data, count: width * height * 4)
            let pixels = [UInt8](unsafeUninitializedCapacity: width * height * 3) { pixels, count in
                var place = 0
                for start in stride(from: 0, to: rgbx.count, by: 4) {
                    pixels[place] = rgbx[start]
                    pixels[place + 1] = rgbx[start + 1]
                    pixels[place + 2] = rgbx[start + 2]
                    place += 3
                }
                count = place
            }
            return try RgbImage(width: width, height: height, pixels: pixels)
        }

        private func source() throws -> CGImageSource {
            let options = [kCGImageSourceShouldCache: false] as CFDictionary
            guard let source = CGImageSourceCreateWithURL(file as CFURL, options), CGImageSourceGetCount(source) > 0
            else { throw damaged() }
            return source
        }

        private func damaged() -> PocketVLError {
            .image("\(name) is not there any more, or no image that this device can read; choose another.")
        }
    }

    /// The folder to which attached images are copied, so that they are there after a restart.
    public struct PhotoFolder: PhotoReader {
        let folder: URL

        public init(_ folder: URL) { self.folder = folder }

        /// Copies an image's bytes, off the main thread. Returns the file's name for ``read(_:)``.
        func add(_ data: Data, ending: String) async throws -> String {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            let name = "\(UUID().uuidString).\(ending)"
            try data.write(to: folder.appendingPathComponent(name), options: .atomic)
            return name
        }

        /// Removes all but these.
        func keep(_ files: Set<String>) {
            let there = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
            for name in there where !files.contains(name) {
                try? FileManager.default.removeItem(at: folder.appendingPathComponent(name))
            }
        }

        public func read(_ file: String) async throws -> Photo {
            let source = PhotoFile(folder.appendingPathComponent(file), name: "the image")
            return Photo(file: file, name: "the image", size: try source.readSize())
        }

        public func open(_ photo: Photo) -> any ImageSource { image(photo) }

        func image(_ photo: Photo) -> PhotoFile {
            PhotoFile(folder.appendingPathComponent(photo.file), name: photo.name)
        }
    }
#endif
