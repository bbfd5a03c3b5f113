import Testing

@testable import PocketVL

@Suite struct ResizeTests {
    @Test("sizes are the golden ones")
    func sizes() throws {
        let data = try Golden.read("resize")
        for one in try data["smart_resize"].items {
            let size = PixelSize(height: try one["height"].int, width: try one["width"].int)
            let (factor, low, high) = (try one["factor"].int, try one["min_pixels"].int, try one["max_pixels"].int)
            if one["expected"] == .null {
                let error = try refusal {
                    _ = try Resize.smart(size, factor: factor, minPixels: low, maxPixels: high)
                }
                #expect(error?.isImage == true)
            } else {
                let found = try Resize.smart(size, factor: factor, minPixels: low, maxPixels: high)
                #expect(try [found.height, found.width] == one["expected"].ints, "\(one)")
            }
        }
        for one in try data["buckets"].items {
            let settings = try Sample.settings(minPixels: one["min_pixels"].int, maxPixels: one["max_pixels"].int)
            let found = try Resize.toBucket(
                PixelSize(height: one["height"].int, width: one["width"].int),
                vision: Sample.vision(patchSize: one["patch_size"].int), settings: settings,
                buckets: one["buckets"].ints)
            #expect(try [found.height, found.width] == one["expected"].ints, "\(one)")
        }
    }

    @Test("what a message says about an image's size gives the golden size")
    func imageSize() throws {
        let data = try Golden.read("image_size")
        let settings = try Sample.settings(minPixels: data["min_pixels"].int, maxPixels: data["max_pixels"].int)
        for one in try data["cases"].items {
            let wanted = ImageSize(
                minPixels: one["wanted"]["min_pixels"].asInteger, maxPixels: one["wanted"]["max_pixels"].asInteger,
                resizedHeight: one["wanted"]["resized_height"].asInteger,
                resizedWidth: one["wanted"]["resized_width"].asInteger,
                detail: one["wanted"]["detail"].asString.flatMap(ImageSize.Detail.init) ?? .auto)
            let size = PixelSize(height: try one["size"][0].int, width: try one["size"][1].int)
            var found: PixelSize?
            let error = try refusal {
                found = try wanted.resolve(
                    size, vision: Sample.vision(), settings: settings, buckets: data["buckets"].ints)
            }
            if one["expected"] == .null {
                #expect(error != nil, "\(one)")
            } else {
                let size = try #require(found, "\(one) \(String(describing: error))")
                #expect(try [size.height, size.width] == one["expected"].ints, "\(one)")
            }
        }
    }

    @Test("sizes that no image has are refused, without an overflow")
    func extremes() throws {
        for size in [
            PixelSize(height: .max, width: .max), PixelSize(height: 0, width: 5), PixelSize(height: .min, width: .min),
            PixelSize(height: 1 << 40, width: 1 << 40),
        ] {
            let error = try refusal { _ = try Resize.smart(size, factor: 28, minPixels: 1, maxPixels: 100) }
            #expect(error?.isImage == true)
        }
        let huge = try Resize.smart(
            PixelSize(height: 1 << 30, width: 1 << 30), factor: 28, minPixels: .max, maxPixels: .max)
        #expect(huge.height > 0)
    }
}
