/// Whether a camera's frame shows something else than another one: a difference of thumbnails.
public struct Thumbnail: Sendable, Equatable {
    /// Cells along each side.
    public static let side = 16
    /// Levels of 0..255: above a camera's noise and its slow adjustments, below most movements.
    public static let changed = 10

    /// Mean luma of each of 16 x 16 cells, 0..255, rounded down, by rows.
    public let cells: [Int]

    /// Luma is (299 R + 587 G + 114 B) / 1000, rounded down (ITU-R BT.601). Cell i of n pixels begins at pixel
    /// i * n / 16 and has at least one: whole numbers throughout, so that every language gets the same.
    public init(_ image: RgbImage) {
        let columns = Self.cells(image.width)
        cells = Self.cells(image.height).flatMap { rows in columns.map { Self.mean(image, rows, $0) } }
    }

    /// Of the cell that differs most, in levels: something small that moves is seen, noise is not.
    public func difference(_ other: Thumbnail) -> Int { zip(cells, other.cells).map { abs($0 - $1) }.max() ?? 0 }

    /// Whether they differ by `least` levels somewhere.
    public func hasChanged(_ other: Thumbnail, least: Int = changed) -> Bool { difference(other) >= least }

    private static func mean(_ image: RgbImage, _ rows: Range<Int>, _ columns: Range<Int>) -> Int {
        var sum = 0
        for y in rows {
            for x in columns {
                let place = 3 * (y * image.width + x)
                let (red, green) = (Int(image.pixels[place]), Int(image.pixels[place + 1]))
                sum += (299 * red + 587 * green + 114 * Int(image.pixels[place + 2])) / 1000
            }
        }
        return sum / (rows.count * columns.count)
    }

    private static func cells(_ size: Int) -> [Range<Int>] {
        (0..<side).map { cell in
            let start = cell * size / side
            return start..<max((cell + 1) * size / side, start + 1)
        }
    }
}
