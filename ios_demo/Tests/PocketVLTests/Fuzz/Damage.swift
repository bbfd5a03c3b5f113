import Foundation

/// Odd values and damaged bytes that a seed decides.
struct Damage {
    /// Of each kind of input: POCKETVL_FUZZ, or 200.
    static let count = ProcessInfo.processInfo.environment["POCKETVL_FUZZ"].flatMap { Int($0) } ?? 200

    private static let numbers = ["-1", "0", "1", "9223372036854775807", "1e308", "null", "4294967296", "\"\"", "[]"]
    private static let fragments = [
        "{", "}", "[", "]", "\"", ",", ":", "\\", "\\u", "\\ud800", "true", "1e999", "-0", "00", "{\"a\":",
        "99999999999",
        "\u{0}", "\u{120}", "\u{1F642}", "日", "e\u{301}", "\u{273F}", "\u{273F}ARGS\u{273F}", "(", ")", "(1,2)", "٣",
    ]

    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func below(_ count: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int((state >> 33) % UInt64(count))
    }

    mutating func one<Value>(of values: [Value]) -> Value { values[below(values.count)] }

    /// True once in `count` times.
    mutating func rarely(_ count: Int) -> Bool { below(count) == 0 }

    /// With one to three digits, bytes or pieces changed.
    mutating func damaged(_ whole: [UInt8]) -> [UInt8] {
        var bytes = whole
        for _ in 0...below(3) where !bytes.isEmpty {
            let place = below(bytes.count)
            switch below(7) {
            case 0: bytes[place] = UInt8(below(256))
            case 1: bytes.removeSubrange(place..<min(bytes.count, place + 1 + below(20)))
            case 2: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 1 + below(40))], at: place)
            case 3: bytes.insert(contentsOf: one(of: Self.fragments).utf8, at: place)
            case 4 where rarely(10): bytes.removeSubrange(place...)
            default:
                let digits = bytes[place...].firstIndex { (0x30...0x39).contains($0) }
                if let digits { bytes.replaceSubrange(digits...digits, with: one(of: Self.numbers).utf8) }
            }
        }
        return bytes
    }

    /// What is no UTF-8 after the damage becomes U+FFFD.
    mutating func damaged(_ text: String) -> String { String(decoding: damaged(Array(text.utf8)), as: UTF8.self) }

    /// Up to `most` characters, most of which mean something somewhere.
    mutating func text(most: Int = 6) -> String {
        let characters = Array("a \n<|\u{273F}🙂é1,()".unicodeScalars)
        var text = String.UnicodeScalarView()
        for _ in 0..<below(most) { text.append(one(of: characters)) }
        return String(text)
    }

    /// A whole number of which most are sound sizes, some none, and some at an edge of Int.
    mutating func size(_ usual: Int = 400) -> Int {
        switch below(12) {
        case 0: one(of: [0, -1, 1, 2, 13, 14, 27, 28, 29])
        case 1: one(of: [.max, .min, .max - 1, 1 << 31, 1 << 30, (1 << 30) + 1, 1 << 40, 1 << 62])
        case 2: below(1 << 30)
        default: 1 + below(usual)
        }
    }

    mutating func real(_ usual: Double = 1000) -> Double {
        switch below(12) {
        case 0: one(of: [.nan, .infinity, -.infinity, -0.0, .greatestFiniteMagnitude, .leastNonzeroMagnitude, -1])
        case 1: one(of: [0, 0.5, 999.5, 1000, 1001])
        default: Double(below(Int(usual) * 2)) / 2
        }
    }
}
