@testable import PocketVL

/// By the formula that the golden files state.
func painted(width: Int, height: Int, frame: Int = 0) throws -> RgbImage {
    var pixels: [UInt8] = []
    for y in 0..<height {
        for x in 0..<width {
            for c in 0..<3 {
                pixels.append(UInt8(truncatingIfNeeded: x * x + 7 * x * y + 13 * y + 29 * c + 50 * frame))
            }
        }
    }
    return try RgbImage(width: width, height: height, pixels: pixels)
}
