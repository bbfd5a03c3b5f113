import Testing

@testable import PocketVL

@Suite struct VideoTests {
    @Test("the frames taken, their size and their tokens are the golden ones")
    func sampling() throws {
        let data = try Golden.read("video_sampling")
        let settings = try Sample.settings(minPixels: data["min_pixels"].int, maxPixels: data["max_pixels"].int)
        for one in try data["cases"].items {
            let (frames, rate) = (try one["frames"].int, one["rate"].asDouble)
            let info = VideoInfo(
                name: "a", frames: frames,
                size: PixelSize(height: try one["size"][0].int, width: try one["size"][1].int),
                times: rate.map { rate in (0..<frames).map { Double($0) / rate } },
                seconds: rate.map { Double(frames) / $0 } ?? 0)
            var plan: VideoPlan?
            let error = try refusal {
                plan = try VideoPlan(
                    info, options(one["wanted"]), vision: Sample.vision(), settings: settings,
                    buckets: data["buckets"].ints)
            }
            guard one["expected"] != .null else {
                guard case .video = error else {
                    Issue.record("\(one) gave \(String(describing: error))")
                    continue
                }
                continue
            }
            let found = try #require(plan, "\(one) \(String(describing: error))")
            #expect(try found.indices == one["expected"]["indices"].ints, "\(one)")
            #expect(try [found.size.height, found.size.width] == one["expected"]["size"].ints, "\(one)")
            #expect(try [found.grid.t, found.grid.h, found.grid.w] == one["expected"]["grid"].ints, "\(one)")
            #expect(try found.tokens(factor: 28) == one["expected"]["tokens"].int, "\(one)")
        }
    }

    @Test("options and videos that cannot be meant are refused")
    func refused() throws {
        let info = VideoInfo(
            name: "a", frames: 4, size: PixelSize(height: 56, width: 56), times: [0, 1, 2, 3], seconds: 4)
        let wrong = [
            VideoOptions(fps: .nan), VideoOptions(fps: 0), VideoOptions(fps: 1, nframes: 2), VideoOptions(nframes: 1),
            VideoOptions(nframes: .max), VideoOptions(minFrames: 8, maxFrames: 4), VideoOptions(resizedWidth: 5),
            VideoOptions(videoStart: 3, videoEnd: 1), VideoOptions(minPixels: .max), VideoOptions(totalPixels: 0),
            VideoOptions(videoStart: 9), VideoOptions(nframes: 40),
        ]
        for options in wrong {
            #expect(try refusal { _ = try plan(info, options) } != nil, "\(options)")
        }
        let size = PixelSize(height: 56, width: 56)
        for broken in [
            VideoInfo(name: "a", frames: 0, size: size),
            VideoInfo(name: "a", frames: 4, size: size, times: [0], seconds: 1),
            VideoInfo(name: "a", frames: 1, size: size, times: [0], seconds: .nan),
        ] {
            guard case .video = try refusal({ _ = try plan(broken, .asTheRule) }) else {
                Issue.record("\(broken) was taken")
                continue
            }
        }
    }

    private func plan(_ info: VideoInfo, _ options: VideoOptions) throws -> VideoPlan {
        try VideoPlan(
            info, options, vision: Sample.vision(), settings: Sample.settings(minPixels: 3136, maxPixels: 1 << 20),
            buckets: [256, 1024])
    }

    private func options(_ wanted: JSON) -> VideoOptions {
        VideoOptions(
            fps: wanted["fps"].asDouble, nframes: wanted["nframes"].asInteger,
            minFrames: wanted["min_frames"].asInteger, maxFrames: wanted["max_frames"].asInteger,
            minPixels: wanted["min_pixels"].asInteger, maxPixels: wanted["max_pixels"].asInteger,
            totalPixels: wanted["total_pixels"].asInteger, resizedHeight: wanted["resized_height"].asInteger,
            resizedWidth: wanted["resized_width"].asInteger, videoStart: wanted["video_start"].asDouble,
            videoEnd: wanted["video_end"].asDouble)
    }
}
