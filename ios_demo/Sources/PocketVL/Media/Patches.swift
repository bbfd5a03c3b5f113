/// Pixels to the rows that the vision encoder reads.
public enum Patches {
    /// The grid of an image, or of a video of so many temporal slices.
    static func grid(_ size: PixelSize, _ vision: VisionGeometry, slices: Int = 1) -> Grid {
        Grid(t: slices, h: size.height / vision.patchSize, w: size.width / vision.patchSize)
    }

    /// Patches (t*h*w, patchDim) of a still image, which is its frame repeated.
    ///
    /// Sides are multiples of vision.factor, see ``Resize/toBucket(_:vision:settings:buckets:)``. Rows run over
    /// (t, h/merge, w/merge, merge, merge), a row over (channel, frame, y, x). Throws ``PocketVLError/image(_:)``.
    public static func of(
        _ image: RgbImage, _ vision: VisionGeometry, _ settings: ImageSettings
    ) throws(PocketVLError) -> Matrix {
        try of([RgbImage](repeating: image, count: vision.temporalPatchSize), vision, settings)
    }

    /// As for an image, of a video's frames, which are taken temporalPatchSize at a time.
    public static func of(
        _ frames: [RgbImage], _ vision: VisionGeometry, _ settings: ImageSettings
    ) throws(PocketVLError) -> Matrix {
        let size = try check(frames, vision)
        let grid = grid(size, vision, slices: frames.count / vision.temporalPatchSize)
        let levels = try levels(vision, settings)
        var patches = Matrix(rows: grid.t * grid.h * grid.w, columns: vision.patchDim)
        let positions = Positions.vision(rows: grid.h, columns: grid.w, merge: vision.spatialMergeSize)
        let area = vision.patchSize * vision.patchSize
        patches.withUnsafeMutableValues { out in
            for (number, frame) in frames.enumerated() {
                let (slice, depth) = number.quotientAndRemainder(dividingBy: vision.temporalPatchSize)
                frame.pixels.withUnsafeBufferPointer { pixels in
                    for (patch, position) in positions.enumerated() {
                        let row = (slice * positions.count + patch) * vision.patchDim + depth * area
                        let corner = (position.row * size.width + position.column) * vision.patchSize
                        for channel in 0..<vision.inChannels {
                            var place = row + channel * vision.temporalPatchSize * area
                            for y in 0..<vision.patchSize {
                                var source = (corner + y * size.width) * 3 + channel
                                for _ in 0..<vision.patchSize {
                                    out[place] = levels[channel * 256 + Int(pixels[source])]
                                    place += 1
                                    source += 3
                                }
                            }
                        }
                    }
                }
            }
        }
        return patches
    }

    private static func check(_ frames: [RgbImage], _ vision: VisionGeometry) throws(PocketVLError) -> PixelSize {
        guard let first = frames.first, frames.count.isMultiple(of: vision.temporalPatchSize) else {
            throw .image(
                "A video of \(frames.count) frames cannot be taken \(vision.temporalPatchSize) at a time;"
                    + " sample a multiple of that.")
        }
        for frame in frames where frame.size != first.size {
            throw .image(
                "Every frame must be of \(first.size) pixels like the first, not of \(frame.size);"
                    + " load and resize all frames alike.")
        }
        if first.height % vision.factor != 0 || first.width % vision.factor != 0 {
            throw .image(
                "An image of \(first.size) pixels has a side that is no multiple of \(vision.factor);"
                    + " resize it with Resize.toBucket first.")
        }
        return first.size
    }

    /// What each 8-bit level of each channel becomes, rounded where the reference rounds: 256 numbers per channel.
    private static func levels(_ vision: VisionGeometry, _ settings: ImageSettings) throws(PocketVLError) -> [Float] {
        guard vision.inChannels == 3, settings.mean.count == 3, settings.std.count == 3 else {
            throw .image("An encoder of \(vision.inChannels) channels cannot take images of three colours.")
        }
        return (0..<3).flatMap { channel in
            let (mean, std) = (Float(settings.mean[channel]), Float(settings.std[channel]))
            return (0..<256).map { (Float(Double($0) * (1.0 / 255)) - mean) / std }
        }
    }
}
