/// Bicubic resizing with antialiasing, to the byte as Pillow's `Image.resize(size, BICUBIC)`: weights of 22 binary
/// digits, along the rows and along the columns, each rounded to 8 bits.
enum Bicubic {
    private static let digits: Int32 = 22  // of a weight; with a pixel's 8 it leaves two for the sum and its sign

    /// The image at another size of at least 1 x 1.
    static func resize(_ image: RgbImage, to size: PixelSize) throws(PocketVLError) -> RgbImage {
        if size.height < 1 || size.width < 1 || Saturating.product(3, size.pixels) == .max {
            throw .image("An image cannot get \(size) pixels.")
        }
        var pixels = image.pixels
        // As Pillow 13: along the columns first where that takes away more than twice as many rows as the other way
        // takes columns.
        let isColumnsFirst =
            size.height < image.height && image.height - size.height > 2 * (image.width - size.width)
        if isColumnsFirst && size.width != image.width {
            pixels = columns(pixels, width: image.width, Weights(from: image.height, to: size.height))
            pixels = rows(pixels, height: size.height, Weights(from: image.width, to: size.width))
            return try RgbImage(width: size.width, height: size.height, pixels: pixels)
        }
        if size.width != image.width {
            pixels = rows(pixels, height: image.height, Weights(from: image.width, to: size.width))
        }
        if size.height != image.height {
            pixels = columns(pixels, width: size.width, Weights(from: image.height, to: size.height))
        }
        return try RgbImage(width: size.width, height: size.height, pixels: pixels)
    }

    /// What each pixel along one side of the result is made of.
    private struct Weights {
        let from: Int
        let to: Int
        private(set) var first: [Int] = []  // pixel that counts, of each result
        private(set) var count: [Int] = []  // pixels that count
        private(set) var values: [Int32] = []
        let room: Int  // weights reserved for each result

        init(from: Int, to: Int) {
            self.from = from
            self.to = to
            let scale = Double(from) / Double(to)
            let stretch = max(scale, 1)
            let support = 2 * stretch
            room = Int(support.rounded(.up)) * 2 + 1
            values = [Int32](repeating: 0, count: to * room)
            for result in 0..<to {
                let center = (Double(result) + 0.5) * scale
                let start = max(0, Int(center - support + 0.5))
                let end = min(from, Int(center + support + 0.5))
                let raw = (start..<end).map { Self.cubic((Double($0) - center + 0.5) / stretch) }
                let sum = raw.reduce(0, +)
                for (index, weight) in raw.enumerated() {
                    let scaled = (sum == 0 ? weight : weight / sum) * Double(1 << Bicubic.digits)
                    values[result * room + index] = Int32(scaled < 0 ? scaled - 0.5 : scaled + 0.5)
                }
                first.append(start)
                count.append(raw.count)
            }
        }

        /// Keys' kernel with a = -0.5 (Keys 1981, equation 15).
        private static func cubic(_ distance: Double) -> Double {
            let a = -0.5
            let x = abs(distance)
            if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
            if x < 2 { return (((x - 5) * x + 8) * x - 4) * a }
            return 0
        }
    }

    private static func rows(_ pixels: [UInt8], height: Int, _ weights: Weights) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: height * weights.to * 3) { out, written in
            pixels.withUnsafeBufferPointer { pixels in
                weights.values.withUnsafeBufferPointer { values in
                    for y in 0..<height {
                        let row = y * weights.from * 3
                        for x in 0..<weights.to {
                            var source = row + weights.first[x] * 3
                            var (red, green, blue) = (half, half, half)
                            let start = x * weights.room
                            for index in start..<start + weights.count[x] {
                                red &+= Int32(pixels[source]) &* values[index]
                                green &+= Int32(pixels[source + 1]) &* values[index]
                                blue &+= Int32(pixels[source + 2]) &* values[index]
                                source += 3
                            }
                            let place = (y * weights.to + x) * 3
                            out.initializeElement(at: place, to: level(red))
                            out.initializeElement(at: place + 1, to: level(green))
                            out.initializeElement(at: place + 2, to: level(blue))
                        }
                    }
                }
            }
            written = height * weights.to * 3
        }
    }

    private static func columns(_ pixels: [UInt8], width: Int, _ weights: Weights) -> [UInt8] {
        let stride = width * 3
        var sums = [Int32](repeating: 0, count: stride)
        return [UInt8](unsafeUninitializedCapacity: weights.to * stride) { out, written in
            pixels.withUnsafeBufferPointer { pixels in
                sums.withUnsafeMutableBufferPointer { sums in
                    for y in 0..<weights.to {
                        sums.update(repeating: half)
                        for index in 0..<weights.count[y] {  // row by row, as they lie in memory
                            let weight = weights.values[y * weights.room + index]
                            let source = (weights.first[y] + index) * stride
                            for x in 0..<stride { sums[x] &+= Int32(pixels[source + x]) &* weight }
                        }
                        for x in 0..<stride { out.initializeElement(at: y * stride + x, to: level(sums[x])) }
                    }
                }
            }
            written = weights.to * stride
        }
    }

    private static let half: Int32 = 1 << (digits - 1)

    @inline(__always)
    private static func level(_ sum: Int32) -> UInt8 { UInt8(clamping: sum >> digits) }
}
