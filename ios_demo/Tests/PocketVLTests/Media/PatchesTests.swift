import Testing

@testable import PocketVL

@Suite struct PatchesTests {
    @Test("bicubic resizing is Pillow's, to the byte")
    func bicubic() throws {
        for one in try Golden.read("bicubic")["cases"].items {
            let image = try painted(width: one["width"].int, height: one["height"].int)
            let size = PixelSize(height: try one["new_height"].int, width: try one["new_width"].int)
            #expect(try Bicubic.resize(image, to: size).pixels == one["rgb_base64"].base64, "\(image.size) to \(size)")
        }
    }

    @Test("patches are the golden ones, to the bit")
    func patches() throws {
        let data = try Golden.read("patches")
        let settings = try ImageSettings(
            minPixels: 1, maxPixels: 1_000_000, mean: data["mean"].doubles, std: data["std"].doubles)
        let vision = try Sample.vision()
        for one in try data["cases"].items {
            let frames = try (0..<one["frames"].int).map {
                try painted(width: data["width"].int, height: data["height"].int, frame: $0)
            }
            let found =
                try frames.count > 1
                ? Patches.of(frames, vision, settings) : Patches.of(frames[0], vision, settings)
            let slices = frames.count > 1 ? frames.count / 2 : 1
            let grid = Patches.grid(frames[0].size, vision, slices: slices)
            #expect(try [grid.t, grid.h, grid.w] == one["grid"].ints)
            #expect(found.rows == grid.t * grid.h * grid.w)
            for sample in try one["samples"].items {
                #expect(try found[sample[0].int, sample[1].int] == Float(sample[2].double), "\(sample)")
            }
        }
    }

    @Test("frames that cannot be taken are refused")
    func refused() throws {
        let (vision, settings) = (try Sample.vision(), try Sample.settings())
        let image = try painted(width: 28, height: 28)
        let odd = try painted(width: 29, height: 28)
        for frames in [[], [image], [image, odd], [odd, odd]] {
            #expect(try refusal { _ = try Patches.of(frames, vision, settings) }?.isImage == true)
        }
        #expect(try refusal { _ = try RgbImage(width: 2, height: 2, pixels: [1]) }?.isImage == true)
        #expect(try refusal { _ = try RgbImage(width: .max, height: .max, pixels: []) }?.isImage == true)
        #expect(try refusal { _ = try RgbImage(width: -1, height: -1, pixels: [1, 2, 3]) }?.isImage == true)
        let none = PixelSize(height: 0, width: 1)
        #expect(try refusal { _ = try Bicubic.resize(image, to: none) }?.isImage == true)
    }

    @Test("thumbnails and their differences are the golden ones")
    func change() throws {
        let data = try Golden.read("change")
        for one in try data["thumbnails"].items {
            let image = try painted(width: one["width"].int, height: one["height"].int)
            #expect(try Thumbnail(image).cells == one["cells"].items.flatMap { try $0.ints })
        }
        #expect(try Thumbnail.changed == data["least_change"].int)
        for one in try data["cases"].items {
            let (first, second) = (Thumbnail(try level(one["first"])), Thumbnail(try level(one["second"])))
            #expect(try first.difference(second) == one["difference"].int, "\(one)")
            #expect(try first.hasChanged(second) == one["changed"].bool, "\(one)")
        }
    }

    /// 64 x 64 pixels of one level, with a square of another.
    private func level(_ value: JSON) throws -> RgbImage {
        let level = UInt8(try value["spot"] == .null ? value["level"].int : 100)
        var pixels = [UInt8](repeating: level, count: 64 * 64 * 3)
        if value["spot"] != .null {
            let spot = try value["spot"].ints  // left, top, pixels, level
            for y in spot[1]..<spot[1] + spot[2] {
                for x in spot[0]..<spot[0] + spot[2] {
                    for c in 0..<3 { pixels[3 * (64 * y + x) + c] = UInt8(spot[3]) }
                }
            }
        }
        return try RgbImage(width: 64, height: 64, pixels: pixels)
    }
}
