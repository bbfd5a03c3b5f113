import Foundation
import Testing

@testable import PocketVL

@Suite struct PictureTests {
    @Test("decoded pictures of every kind give the golden pixels and patches")
    func pictures() throws {
        let data = try Golden.read("image_files")
        let (vision, settings) = (
            try Sample.vision(),
            try Sample.settings(minPixels: data["min_pixels"].int, maxPixels: data["max_pixels"].int)
        )
        #expect(try data["cases"].items.count == 41)
        for one in try data["cases"].items {
            let (height, width) = (try one["stored"][0].int, try one["stored"][1].int)
            let bytes = try one["pixels_base64"].base64
            let stored =
                try one["channels"].int == 4
                ? RgbImage(width: width, height: height, rgba: bytes)
                : RgbImage(width: width, height: height, pixels: bytes)
            let orientation = try #require(Orientation(rawValue: one["orientation"].int))
            let image = try stored.upright(from: orientation)
            let size = try Resize.toBucket(image.size, vision: vision, settings: settings, buckets: [1024])
            #expect(try [size.height, size.width] == one["size"].ints, "\(one["name"])")
            let resized = try Bicubic.resize(image, to: size)
            #expect(try resized.contentKey == one["key"].string, "\(one["name"])")
            let patches = try Patches.of(resized, vision, settings)
            let written = patches.values.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }
            #expect(try Digest.hex(of: written) == one["patches_sha256"].string, "\(one["name"])")
        }
    }

    @Test("50,000 sizes are the golden ones")
    func sizes() throws {
        let data = try Golden.read("sizes")
        let (sides, lows) = (try data["sides"].ints, try data["lows"].ints)
        let (highs, buckets) = (try data["highs"].ints, try data["buckets"].ints)
        let (each, digests) = (try data["each"].int, try data["digests"].strings)
        let vision = try Sample.vision(patchSize: data["patch_size"].int)
        var state = UInt64(try data["seed"].int)
        func drawn(_ count: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(count))
        }
        var digest = SHA256Function()
        for number in 0..<(try data["cases"].int) {
            let (height, width) = (1 + drawn(sides[number % 4]), 1 + drawn(sides[number % 4]))
            let (low, high, bucket) = (lows[drawn(4)], highs[drawn(4)], buckets[drawn(4)])
            var answer = "refused"
            if let settings = try? Sample.settings(minPixels: low, maxPixels: high),
                let size = try? Resize.toBucket(
                    PixelSize(height: height, width: width), vision: vision, settings: settings, buckets: [bucket])
            {
                answer = "\(size.height) \(size.width)"
            }
            let line = "\(height) \(width) \(low) \(high) \(bucket) \(answer)\n"
            Array(line.utf8).withUnsafeBytes { digest.update($0) }
            if (number + 1) % each == 0 {
                var soFar = digest
                let hex = soFar.finalize().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
                #expect(hex == digests[number / each])
            }
        }
    }
}
