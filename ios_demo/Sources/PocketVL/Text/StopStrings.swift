/// Passes text on piece by piece, as far as no stop string has been found in it.
///
/// The first one is that which ends first; of those that end together, the longest. So what is found does not depend on
/// how the text is cut into pieces. Only what may still become a stop string is held back. Texts are compared byte for
/// byte.
public struct StopStrings: Sendable {
    public static let most = 4

    /// The stop string that ended the text, nil so far.
    public private(set) var found: String?
    private let strings: [[UInt8]]
    private var held: [UInt8] = []

    /// Throws ``PocketVLError/usage(_:)`` for more than ``most`` of them, or an empty one.
    public init(_ strings: [String] = []) throws(PocketVLError) {
        if strings.count > Self.most {
            throw .usage("stop takes at most \(Self.most) texts, not \(strings.count).")
        }
        if strings.contains(where: \.isEmpty) {
            throw .usage("A stop string must not be empty: every answer would end before it begins.")
        }
        self.strings = strings.map { Array($0.utf8) }
    }

    /// What may be shown now that `piece` has come, maybe nothing.
    public mutating func push(_ piece: String) -> String {
        if found != nil { return "" }
        let text = held + piece.utf8
        var first: (start: Int, string: [UInt8])?
        for string in strings {
            guard let start = text.firstIndex(of: string) else { continue }
            let end = start + string.count
            if let known = first, (known.start + known.string.count, known.start) <= (end, start) { continue }
            first = (start, string)
        }
        if let first {
            found = String(decoding: first.string, as: UTF8.self)
            held = []
            return String(decoding: text[..<first.start], as: UTF8.self)
        }
        let shown = text.count - unfinished(text)
        held = Array(text[shown...])
        return String(decoding: text[..<shown], as: UTF8.self)
    }

    /// What was held back, now that nothing follows.
    public mutating func finish() -> String {
        defer { held = [] }
        return String(decoding: held, as: UTF8.self)
    }

    /// How many of the last bytes begin a stop string.
    private func unfinished(_ text: [UInt8]) -> Int {
        let longest = (strings.map(\.count).max() ?? 1) - 1
        return (0...min(longest, text.count)).reversed().first { count in
            let end = text.suffix(count)
            return strings.contains { $0.starts(with: end) }
        } ?? 0
    }
}

extension [UInt8] {
    /// Where `part`, which is not empty, begins first.
    fileprivate func firstIndex(of part: [UInt8]) -> Int? {
        guard count >= part.count else { return nil }
        return (0...count - part.count).first { self[$0...].starts(with: part) }
    }
}
