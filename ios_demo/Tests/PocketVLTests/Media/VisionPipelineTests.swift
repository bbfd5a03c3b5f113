import Foundation
import Testing

@testable import PocketVL

/// Embeds a token as the first value of its first patch, and counts calls.
private final class CountingVision: VisionEngine, @unchecked Sendable {
    private let lock = NSLock()
    private var count = 0
    let mergeArea: Int
    let columns: Int

    init(mergeArea: Int, columns: Int) {
        self.mergeArea = mergeArea
        self.columns = columns
    }

    var calls: Int { lock.withLock { count } }

    func encode(patches: Matrix, rope: Rope) throws(PocketVLError) -> Matrix {
        lock.withLock { count += 1 }
        var embeddings = Matrix(rows: patches.rows / mergeArea, columns: columns)
        for row in 0..<embeddings.rows { embeddings[row, 0] = patches[row * mergeArea, 0] }
        return embeddings
    }

    func release() {}
}

private struct Unreadable: ImageSource {
    struct Broken: Error {}
    let name = "the broken photo"
    func readSize() -> PixelSize { PixelSize(height: 30, width: 40) }
    func read(for size: PixelSize) throws -> DecodedImage { throw Broken() }
}

/// A video whose frames nobody reads.
private struct Timed: FrameSource {
    let info: VideoInfo
    let notes: [String] = []
    func read(_ indices: [Int], for size: PixelSize) throws -> any FrameReader { throw Unreadable.Broken() }
}

@Suite struct VisionPipelineTests {
    @Test("an image is encoded once, whoever gives it, and an encoded one never")
    func once() throws {
        let (pipeline, engine) = try pipeline()
        let image = try painted(width: 40, height: 24)
        let prepared = try pipeline.prepare(image)
        #expect(prepared.sourceSize == image.size)
        let first = try pipeline.encode(prepared)
        let second = try pipeline.encode(try pipeline.prepare(image))
        #expect((first.cached, second.cached, engine.calls) == (0, 1, 1))
        #expect(first.media.embeddings == second.media.embeddings)
        #expect(first.media.embeddings.rows == pipeline.tokens(prepared.grid))
        let encoded = try pipeline.encodeNow(image)
        let again = try pipeline.encode(try pipeline.prepare(encoded))
        #expect(again.media.key == first.media.key)
        pipeline.forget()
        _ = try pipeline.encode(prepared)
        #expect(engine.calls == 2)
    }

    @Test("slices of a video are encoded once, and its frames resized")
    func video() throws {
        let (pipeline, engine) = try pipeline()
        let still = try painted(width: 40, height: 24)
        let other = try painted(width: 40, height: 24, frame: 3)
        let list = try FrameList([still, still, other, other, still, still])
        let prepared = try pipeline.prepare(list)
        #expect(prepared.grid.t == 3)
        let encoded = try #require(try pipeline.encode(prepared))
        #expect(encoded.cached == 1)
        #expect(engine.calls == 2)
        #expect(encoded.media.embeddings.rows == pipeline.tokens(prepared.grid))
        #expect(try pipeline.encode(prepared) { true } == nil)
        #expect(
            try pipeline.prepare(list, VideoOptions(fps: 2)).notes == [
                "The list of frames has no times, so fps 2 changes nothing."
            ])
        #expect(pipeline.settingsThatFit(prepared, room: 3) == ["nframes 4 with max_pixels 32"])
    }

    @Test("settings that make a long video fit are those that Python finds")
    func fit() throws {
        let (pipeline, _) = try pipeline()
        let times = (0..<300).map { Double($0) / 10 }
        let size = PixelSize(height: 24, width: 40)
        let video = Timed(info: VideoInfo(name: "a", frames: 300, size: size, times: times, seconds: 30))
        let plain = try pipeline.prepare(video)
        #expect(plain.grid == Grid(t: 30, h: 2, w: 4))
        #expect(pipeline.settingsThatFit(plain, room: 20) == ["nframes 40 (fps 1.3) with max_pixels 32"])
        let fast = try pipeline.prepare(video, VideoOptions(fps: 5, minPixels: 16))
        #expect(fast.grid == Grid(t: 75, h: 2, w: 4))
        #expect(pipeline.settingsThatFit(fast, room: 31) == ["nframes 62 (fps 2.1) with max_pixels 32"])
    }

    @Test("what cannot be read is refused by name")
    func refused() throws {
        let (pipeline, _) = try pipeline()
        let error = try refusal { _ = try pipeline.prepare(Unreadable()) }
        #expect(error?.message.contains("the broken photo is damaged") == true)
        let small = try painted(width: 8, height: 8)
        let mixed = try FrameList([try painted(width: 40, height: 24), small])
        let frames = try refusal { _ = try pipeline.encode(try pipeline.prepare(mixed)) }
        #expect(frames?.message.contains("give frames of one size") == true)
        #expect(try refusal { _ = try FrameList([]) }?.isImage == true)
        let encoded = try pipeline.encodeNow(small)
        let sized = ImageSize(maxPixels: 100)
        #expect(try refusal { _ = try pipeline.prepare(encoded, sized) }?.isPrompt == true)
        let alien = EncodedImage(
            Media(grid: Grid(t: 1, h: 2, w: 2), key: "a", embeddings: Matrix(rows: 1, columns: 3)),
            sourceSize: small.size)
        #expect(try refusal { _ = try pipeline.prepare(alien) }?.isPrompt == true)
    }

    @Test("least recently used images go first")
    func cache() {
        let cache = ImageCache(maxBytes: 3 * 40)
        func media(_ key: String) -> Media {
            Media(grid: Grid(t: 1, h: 2, w: 2), key: key, embeddings: Matrix(rows: 1, columns: 10))
        }
        for key in ["a", "b", "c"] { cache.put(key, media(key)) }
        #expect(cache["a"] != nil)
        cache.put("d", media("d"))
        #expect(cache["b"] == nil)
        #expect(cache["a"] != nil && cache["c"] != nil && cache["d"] != nil)
        cache.put("e", Media(grid: Grid(t: 1, h: 2, w: 2), key: "e", embeddings: Matrix(rows: 9, columns: 99)))
        #expect(cache["e"] != nil && cache["a"] == nil)
    }

    private func pipeline() throws -> (VisionPipeline, CountingVision) {
        let manifest = try Manifest(Golden.read("manifests")["bundles"]["onnx"], "manifest.json")
        let vision = manifest.geometry.vision
        let engine = CountingVision(mergeArea: vision.mergeArea, columns: vision.outputSize)
        return (VisionPipeline(manifest, manifest.image, engine), engine)
    }
}
