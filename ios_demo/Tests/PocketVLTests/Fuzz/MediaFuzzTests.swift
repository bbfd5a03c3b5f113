import Foundation
import Testing

@testable import PocketVL

/// Images and videos of any size, under any limits: an error is thrown or they fit, and nothing traps. See
/// ``Damage/count``.
@Suite struct MediaFuzzTests {
    @Test("images of any size and limits fit into a bucket, or are refused")
    func sizes() throws {
        var damage = Damage(seed: 8)
        var refused = 0
        for _ in 0..<Damage.count {
            let vision = try Sample.vision(patchSize: damage.one(of: [1, 2, 14, 28]))
            let buckets = (0..<1 + damage.below(3)).map { _ in vision.mergeArea * (1 + damage.below(1024)) }
            let error = try refusal {
                let settings = try settings(&damage)
                let wanted = ImageSize(
                    minPixels: maybe(&damage), maxPixels: maybe(&damage), resizedHeight: maybe(&damage),
                    resizedWidth: maybe(&damage), detail: damage.one(of: [.auto, .low, .high]))
                let given = PixelSize(height: damage.size(5000), width: damage.size(5000))
                let size = try wanted.resolve(given, vision: vision, settings: settings, buckets: buckets)
                let grid = Patches.grid(size, vision)
                #expect(grid.h * grid.w <= buckets.max() ?? 0, "\(given) becomes \(size)")
                #expect(size.height % vision.factor == 0 && size.width % vision.factor == 0 && grid.h * grid.w > 0)
            }
            if error != nil { refused += 1 }
            #expect(error.map { $0.isImage || $0.isPrompt } ?? true)
        }
        print("\(refused) of \(Damage.count) sizes refused")
        #expect(refused > Damage.count / 10 && refused < Damage.count * 9 / 10)
    }

    @Test("raw pixels of any number become patches of what was said of them, or are refused")
    func pixels() throws {
        var damage = Damage(seed: 9)
        var refused = 0
        for _ in 0..<Damage.count {
            let vision = try Sample.vision(patchSize: damage.one(of: [1, 2, 14]))
            let error = try refusal {
                let frames = try (0..<1 + damage.below(3)).map { _ in try image(&damage) }
                let turned = try frames[0].upright(from: damage.one(of: Orientation.allCases))
                #expect(turned.pixels.count == frames[0].pixels.count)
                let target = PixelSize(height: damage.below(40), width: damage.below(40))
                let resized = try Bicubic.resize(turned, to: target)
                #expect(resized.size == target)
                _ = Thumbnail(resized).difference(Thumbnail(turned))
                let patches = try Patches.of(damage.rarely(2) ? [resized, resized] : frames, vision, Sample.settings())
                let isFinite = patches.values.allSatisfy { $0.isFinite }
                #expect(isFinite)
            }
            if error != nil { refused += 1 }
            #expect(error?.isImage ?? true)
        }
        print("\(refused) of \(Damage.count) images refused")
        #expect(refused > Damage.count / 10 && refused < Damage.count)
    }

    @Test("videos of any length and options are planned within their limits, or refused")
    func videos() throws {
        let vision = try Sample.vision()
        var damage = Damage(seed: 10)
        var refused = 0
        for _ in 0..<Damage.count {
            let error = try refusal {
                let frames = damage.rarely(8) ? damage.size() : 1 + damage.below(60)
                let times = (0..<max(0, min(frames, 60))).map { Double($0) / 10 }
                let info = VideoInfo(
                    name: "a video", frames: frames, size: PixelSize(height: damage.size(), width: damage.size()),
                    times: damage.rarely(2) ? times : nil, seconds: damage.real(6))
                let options = VideoOptions(
                    fps: damage.rarely(4) ? damage.real(5) : nil, nframes: maybe(&damage), minFrames: maybe(&damage),
                    maxFrames: maybe(&damage), minPixels: maybe(&damage), maxPixels: maybe(&damage),
                    totalPixels: maybe(&damage), resizedHeight: maybe(&damage), resizedWidth: maybe(&damage),
                    videoStart: damage.rarely(6) ? damage.real(6) : nil,
                    videoEnd: damage.rarely(6) ? damage.real(6) : nil)
                let plan = try VideoPlan(
                    info, options, vision: vision, settings: try settings(&damage), buckets: [256, 1024])
                #expect(plan.indices.allSatisfy { (0..<info.frames).contains($0) })
                #expect(plan.grid.h * plan.grid.w <= 1024 && plan.grid.t * 2 == plan.indices.count)
            }
            if error != nil { refused += 1 }
            #expect(error.map { $0.isImage || $0.isPrompt } ?? true)
        }
        print("\(refused) of \(Damage.count) videos refused")
        #expect(refused > Damage.count / 10 && refused < Damage.count)
    }

    private func maybe(_ damage: inout Damage) -> Int? { damage.rarely(6) ? damage.size(2000) : nil }

    private func settings(_ damage: inout Damage) throws -> ImageSettings {
        let least = 1 + damage.below(10_000)
        return try Sample.settings(
            minPixels: least, maxPixels: damage.rarely(8) ? .max : least + damage.below(1_000_000))
    }

    /// Of a sound number of bytes, mostly.
    private func image(_ damage: inout Damage) throws -> RgbImage {
        let isOdd = damage.rarely(8)
        let width = isOdd ? damage.size(60) : 1 + damage.below(60)
        let height = isOdd ? damage.size(60) : 1 + damage.below(60)
        let depth = damage.one(of: [3, 4])
        let area = Saturating.product(max(0, width), max(0, height))
        let count = area > 4000 ? damage.below(4000) : depth * area + (damage.rarely(20) ? damage.below(5) - 2 : 0)
        let bytes = (0..<max(0, count)).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        return depth == 3
            ? try RgbImage(width: width, height: height, pixels: bytes)
            : try RgbImage(width: width, height: height, rgba: bytes)
    }
}
