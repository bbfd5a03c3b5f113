import Foundation
import Testing

@testable import PocketVL

/// Longer checks and measurements, which are asked for by the environment variables that their reasons name.
@Suite(.serialized) struct MeasuredTests {
    private static let environment = ProcessInfo.processInfo.environment
    static let samples = environment["POCKETVL_SAMPLES"]
    static let speed = environment["POCKETVL_SPEED"]

    @Test(
        "random texts have the ids that the tokenizers library gives them",
        .enabled(
            if: samples != nil, "only asked for by POCKETVL_SAMPLES, folders of tests/kotlin/write_text_cases.py")
    )
    func texts() throws {
        for path in try #require(Self.samples).split(separator: ":") {
            let folder = URL(fileURLWithPath: String(path))
            let tokenizer = try Tokenizer(folder.appendingPathComponent(Names.tokenizerFile))
            let lines = try Data(contentsOf: folder.appendingPathComponent("texts.jsonl")).split(separator: 0x0A)
            var odd = 0
            for line in lines {
                let one = try JSON.parse(bytes: Array(line))
                let text = try one["text"].string
                for (kind, ids) in [("plain", tokenizer.encode(text)), ("marked", tokenizer.encodeTemplate(text))]
                where try ids != one[kind].ints {
                    odd += 1
                    if odd <= 5 { print("\(kind): \(text.quoted)") }
                }
            }
            print("\(path): \(lines.count) texts, \(odd) differ")
            #expect(odd == 0 && lines.count > 0)
        }
    }

    @Test(
        "how fast tokenizing, resizing and hashing are",
        .enabled(if: speed != nil, "only asked for by POCKETVL_SPEED, the path of a tokenizer.json")
    )
    func speeds() throws {
        let file = URL(fileURLWithPath: try #require(Self.speed))
        var tokenizer: Tokenizer?
        try measure("reading the tokenizer") { tokenizer = try Tokenizer(file) }
        let sentence = "The quick brown fox jumps over 13 lazy dogs, naïve café. "
        let text = String(String(repeating: sentence, count: 200).prefix(10_000))
        for _ in 0..<2 {
            var count = 0
            measure("10,000 characters to ids") { count = tokenizer?.encode(text).count ?? 0 }
            #expect(count > 1000)
        }
        let row = (0..<4000 * 3).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let photo = try RgbImage(width: 4000, height: 3000, pixels: [UInt8]((0..<3000).map { _ in row }.joined()))
        let vision = try Sample.vision()
        let settings = try Sample.settings(minPixels: 3136, maxPixels: 1024 * 784)
        try measure("a photo of 12 megapixels to patches") {
            let size = try Resize.toBucket(photo.size, vision: vision, settings: settings, buckets: [4096])
            let patches = try Patches.of(Bicubic.resize(photo, to: size), vision, settings)
            #expect(patches.values.reduce(0, +).isFinite)
        }
        let bytes = [UInt8](repeating: 7, count: 100_000_000)
        var hash = ""
        measure("SHA-256 of 100 MB") { hash = Digest.hex(of: bytes) }
        #expect(hash.count == 64)
        var sampler = try Sampler(temperature: 0.7, topK: 20, topP: 0.8, repetitionPenalty: 1.05, seed: 1)
        let logits = (0..<151_936).map { Float(($0 &* 7919) % 10_007) / 1000 }
        for _ in 0..<2 {
            var token = -1
            try measure("a token drawn of 151,936") { token = try sampler.sample(logits[...], seen: Array(0..<1000)) }
            #expect(logits.indices.contains(token))
        }
    }

    /// Prints seconds of the clock, and of this process's processors.
    private func measure(_ what: String, _ body: () throws -> Void) rethrows {
        let (wall, cpu) = (DispatchTime.now().uptimeNanoseconds, clock())
        try body()
        let seconds = Double(DispatchTime.now().uptimeNanoseconds - wall) / 1e9
        let processor = Double(clock() - cpu) / Double(CLOCKS_PER_SEC)
        print("\(what): \(String(format: "%.3f s, %.3f s of processor", seconds, processor))")
    }
}

/// CRC-32 (ISO 3309) of ids in 32 bits each, little-endian.
func checksum(_ ids: [Int]) -> Int {
    var crc: UInt32 = 0xFFFF_FFFF
    for byte in ids.flatMap({ id in (0..<4).map { UInt32(truncatingIfNeeded: id >> (8 * $0)) & 0xFF } }) {
        crc ^= byte
        for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
    }
    return Int(crc ^ 0xFFFF_FFFF)
}
