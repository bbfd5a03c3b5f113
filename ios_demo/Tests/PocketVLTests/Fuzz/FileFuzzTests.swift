import Foundation
import Testing

@testable import PocketVL

/// Damaged files: whatever is in them, an error is thrown or they are read, and nothing traps.
///
/// POCKETVL_FUZZ says how many of each kind, 200 if nothing else is said.
@Suite struct FuzzTests {
    private static let count = ProcessInfo.processInfo.environment["POCKETVL_FUZZ"].flatMap { Int($0) } ?? 200

    @Test("damaged manifests give errors of the bundle alone", arguments: ["onnx", "executorch"])
    func manifests(target: String) throws {
        let whole = try #require(try Golden.read("manifests")["bundles"][target].written())
        var damage = Damage(seed: 1)
        var refused = 0
        for _ in 0..<Self.count {
            guard let value = try? JSON.parse(bytes: damage.damaged(Array(whole.utf8))) else { continue }
            let error = try refusal {
                let manifest = try Manifest(value, "manifest.json")
                _ = EntryPoints.fault(manifest)
            }
            if error != nil { refused += 1 }
            #expect(error == nil || error?.isBundle == true)
        }
        #expect(refused > Self.count / 10)
    }

    @Test("damaged tokenizers give errors of the bundle, or ids for any text")
    func tokenizers() throws {
        let whole = Array(try Data(contentsOf: checkpoint.appendingPathComponent("tokenizer.json")))
        let folder = try TemporaryFolder()
        var damage = Damage(seed: 2)
        for _ in 0..<Self.count / 20 {
            let file = try folder.write("tokenizer.json", damage.damaged(whole))
            var tokenizer: Tokenizer?
            let error = try refusal { tokenizer = try Tokenizer(file) }
            #expect(error == nil || error?.isBundle == true)
            _ = tokenizer?.encodeTemplate("Hello <|im_start|> e\u{301} 日本語 🙂\r\n")
        }
    }

    @Test("answers of any tokens are text, boxes and nothing else")
    func answers() throws {
        var damage = Damage(seed: 3)
        let tokenizer = try Tiny.tokenizer.get()
        for _ in 0..<Self.count {
            var answer = AnswerText(tokenizer)
            var stop = try StopStrings(["a", "\u{FFFD}"])
            for _ in 0..<30 { _ = stop.push(answer.push(damage.below(1100) - 20)) }
            _ = stop.push(answer.finish()) + stop.finish()
            _ = FoundShape.boxes(answer.boxes, in: [PixelSize(height: 5, width: 7)])
            _ = FoundShape.quads(answer.quads, in: [PixelSize(height: 5, width: 7)])
        }
    }
}

/// Changes of bytes that a seed decides.
private struct Damage {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func below(_ count: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int((state >> 33) % UInt64(count))
    }

    /// With one to three digits, bytes or pieces changed.
    mutating func damaged(_ whole: [UInt8]) -> [UInt8] {
        var bytes = whole
        for _ in 0...below(3) {
            let place = below(bytes.count)
            switch below(5) {
            case 0: bytes[place] = UInt8(below(256))
            case 1: bytes.removeSubrange(place..<min(bytes.count, place + 1 + below(20)))
            case 2: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 1 + below(40))], at: place)
            default:
                let digits = bytes[place...].firstIndex { (0x30...0x39).contains($0) }
                let numbers = ["-1", "0", "1", "9223372036854775807", "1e308", "null", "4294967296", "\"\"", "[]"]
                if let digits { bytes.replaceSubrange(digits...digits, with: numbers[below(numbers.count)].utf8) }
            }
        }
        return bytes
    }
}
