/// Cuts a text into the words within which tokens are merged.
enum WordSplitter: Sendable {
    /// The words of Qwen2's regular expression, by hand, so that they are the same on every system:
    ///
    ///     (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*
    ///     |\s*[\r\n]+|\s+(?!\S)|\s+
    ///
    /// The classes are those of the tokenizers library (Unicode 16), case is ignored as there: U+017F is an s.
    case qwen

    /// GPT-2's words with each digit apart, as SmolLM has them: only for checkpoints that are put under this family's
    /// config.
    ///
    ///     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
    case gpt2

    static let qwenPattern =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"#
        + #"|\s*[\r\n]+|\s+(?!\S)|\s+"#

    /// The end of the word that begins at `start`, which is before the text's end.
    func end(_ text: [Unicode.Scalar], _ start: Int) -> Int {
        switch self {
        case .qwen: Self.qwenEnd(text, start)
        case .gpt2: Self.gpt2End(text, start)
        }
    }

    private static func qwenEnd(_ text: [Unicode.Scalar], _ start: Int) -> Int {
        let kind = CharacterKind(text[start])
        let next = start + 1
        if let end = contraction(text, start, ignoringCase: true) { return end }
        if kind == .letter { return skip(text, next, .letter) }
        if kind == .number { return next }
        let following = next < text.count ? CharacterKind(text[next]) : nil
        if following == .letter && kind != .lineBreak { return skip(text, next, .letter) }
        if kind == .other || (text[start] == " " && following == .other) {
            return skip(text, skip(text, next, .other), .lineBreak)
        }
        return space(text, start)
    }

    private static func gpt2End(_ text: [Unicode.Scalar], _ start: Int) -> Int {
        let kind = CharacterKind(text[start])
        let next = start + 1
        if kind == .number { return next }
        if let end = contraction(text, start, ignoringCase: false) { return end }
        if kind == .letter || kind == .other { return skip(text, next, kind) }
        if text[start] == " " && next < text.count {
            let following = CharacterKind(text[next])
            if following == .letter || following == .other { return skip(text, next, following) }
        }
        // Digits are cut off first, so that a space before one ends a text.
        let end = text[start...].firstIndex { !CharacterKind($0).isSpace } ?? text.count
        let isLast = end == text.count || CharacterKind(text[end]) == .number
        return isLast || end == start + 1 ? end : end - 1
    }

    /// Of a contraction that begins at `start`.
    private static func contraction(_ text: [Unicode.Scalar], _ start: Int, ignoringCase: Bool) -> Int? {
        guard text[start] == "'", start + 1 < text.count else { return nil }
        func letter(_ index: Int) -> Unicode.Scalar {
            guard index < text.count else { return " " }
            guard ignoringCase else { return text[index] }
            if ("A"..."Z").contains(text[index]) { return Unicode.Scalar(UInt8(text[index].value + 32)) }
            return text[index] == "\u{17F}" ? "s" : text[index]
        }
        switch letter(start + 1) {
        case "s", "t", "m", "d": return start + 2
        case "r", "v": return letter(start + 2) == "e" ? start + 3 : nil
        case "l": return letter(start + 2) == "l" ? start + 3 : nil
        default: return nil
        }
    }

    /// Space up to its last line break; without one up to the last space, which goes with the next word.
    private static func space(_ text: [Unicode.Scalar], _ start: Int) -> Int {
        var end = start
        var behindBreak: Int?
        while end < text.count {
            let kind = CharacterKind(text[end])
            if !kind.isSpace { break }
            end += 1
            if kind == .lineBreak { behindBreak = end }
        }
        return behindBreak ?? (end == text.count || end == start + 1 ? end : end - 1)
    }

    /// Behind the characters of that kind from `start` on.
    private static func skip(_ text: [Unicode.Scalar], _ start: Int, _ kind: CharacterKind) -> Int {
        var at = start
        while at < text.count, CharacterKind(text[at]) == kind { at += 1 }
        return at
    }
}

/// What the patterns tell apart.
private enum CharacterKind {
    case letter, number, space, other
    /// \r and \n, which are space, too.
    case lineBreak

    private static let letters = CodePointSet(UnicodeRanges.letters)
    private static let numbers = CodePointSet(UnicodeRanges.numbers)
    private static let ascii = (0..<128).map { CharacterKind(slowly: $0) }

    init(_ scalar: Unicode.Scalar) {
        self = scalar.value < 128 ? Self.ascii[Int(scalar.value)] : CharacterKind(slowly: scalar.value)
    }

    var isSpace: Bool { self == .space || self == .lineBreak }

    private init(slowly code: UInt32) {
        switch code {
        case 0x0A, 0x0D: self = .lineBreak
        // \s of the library: Unicode's White_Space, which U+001C..U+001F are not.
        case 0x09...0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000:
            self = .space
        default: self = Self.letters.contains(code) ? .letter : Self.numbers.contains(code) ? .number : .other
        }
    }
}
