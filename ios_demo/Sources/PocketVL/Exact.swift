/// A text that equals another only byte for byte.
///
/// Swift's own strings are equal, and hash alike, where they are canonically equivalent ("é" in one or two scalars),
/// and sort by that. Python's and Kotlin's are not, and a file that is read strictly must not be either.
struct Exact: Hashable, Comparable, Sendable {
    let text: String

    init(_ text: String) { self.text = text }

    static func == (left: Exact, right: Exact) -> Bool { left.text.utf8.elementsEqual(right.text.utf8) }

    /// By code points, which UTF-8 keeps in order.
    static func < (left: Exact, right: Exact) -> Bool { left.text.utf8.lexicographicallyPrecedes(right.text.utf8) }

    func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}

extension String {
    /// Whether both have the same bytes.
    func isExactly(_ other: String) -> Bool { utf8.elementsEqual(other.utf8) }

    /// As Python's repr writes it in messages: in quotes, what cannot be printed escaped, cut where it is long.
    var quoted: String {
        let quote: Unicode.Scalar = unicodeScalars.contains("'") && !unicodeScalars.contains("\"") ? "\"" : "'"
        var written = String(Character(quote))
        for scalar in unicodeScalars {
            switch scalar {
            case "\\": written += "\\\\"
            case quote: written += "\\" + String(Character(quote))
            case "\n": written += "\\n"
            case "\r": written += "\\r"
            case "\t": written += "\\t"
            default: written += scalar.isPrintable ? String(Character(scalar)) : scalar.escaped
            }
        }
        return (written + String(Character(quote))).shortened(to: 80)
    }

    /// At most so many code points, and ... where it is cut.
    func shortened(to most: Int) -> String {
        guard unicodeScalars.count > most else { return self }
        var kept = String.UnicodeScalarView()
        kept.append(contentsOf: unicodeScalars.prefix(most))
        return String(kept) + "..."
    }
}

extension Unicode.Scalar {
    /// As Python's str.isprintable: neither a control or format character, nor unassigned, nor a separator but space.
    var isPrintable: Bool {
        switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator:
            return false
        case .spaceSeparator:
            return value == 0x20
        default:
            return true
        }
    }

    /// As Python escapes what it does not print.
    fileprivate var escaped: String {
        let digits = String(value, radix: 16)
        if value < 0x100 { return "\\x" + String(repeating: "0", count: 2 - digits.count) + digits }
        if value < 0x10000 { return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits }
        return "\\U" + String(repeating: "0", count: 8 - digits.count) + digits
    }
}

extension Unicode.Scalar {
    /// As Python's str.isalnum: a letter, or anything that is a number by itself.
    var isAlphanumeric: Bool {
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: properties.numericType != nil
        }
    }

    /// As Python's str.isspace: White_Space, and the four separators of ASCII.
    var isSpace: Bool { properties.isWhitespace || (0x1C...0x1F).contains(value) }
}
