/// JSON as Python's json.dumps(ensure_ascii=False) writes it, which is how the model saw schemas in its training:
/// `{"a": 1, "b": [2.5, null]}`.
enum JSONText {
    /// Throws ``Fault`` for a number that JSON has not.
    static func write(_ value: JSON) throws(Fault) -> String {
        var out = ""
        try write(value, &out, depth: 0)
        return out
    }

    private static let maxDepth = 128  // above what a schema may have; deeper values are nobody's arguments

    private static func write(_ value: JSON, _ out: inout String, depth: Int) throws(Fault) {
        if depth > maxDepth { throw Fault("it is nested too deeply") }
        switch value {
        case .null: out += "null"
        case .bool(let bool): out += bool ? "true" : "false"
        case .integer(let integer): out += String(integer)
        case .largeInteger(let digits): out += digits
        case .double(let double):
            if !double.isFinite { throw Fault("JSON has no \(double)") }
            out += shortest(double)
        case .string(let text): write(text, &out)
        case .array(let values):
            out += "["
            for (index, each) in values.enumerated() {
                if index > 0 { out += ", " }
                try write(each, &out, depth: depth + 1)
            }
            out += "]"
        case .object(let object):
            out += "{"
            for (index, member) in object.members.enumerated() {
                if index > 0 { out += ", " }
                write(member.key, &out)
                out += ": "
                try write(member.value, &out, depth: depth + 1)
            }
            out += "}"
        }
    }

    private static func write(_ text: String, _ out: inout String) {
        out += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case "\u{8}": out += "\\b"
            case "\u{C}": out += "\\f"
            case "\u{0}"..<" ": out += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: out.unicodeScalars.append(scalar)
            }
        }
        out += "\""
    }

    /// The fewest digits that give the number again, laid out as Python's repr does; `description` has the same digits,
    /// but changes to an exponent elsewhere.
    static func shortest(_ value: Double) -> String {
        if value == 0 { return value.sign == .minus ? "-0.0" : "0.0" }
        let halves = value.magnitude.description.lowercased().split(separator: "e")
        let mantissa = (halves.first ?? "0").split(separator: ".", omittingEmptySubsequences: false)
        let whole = mantissa.first ?? "0"
        var digits = Array(whole.utf8) + Array((mantissa.count > 1 ? mantissa[1] : "").utf8)
        var exponent = whole.utf8.count - 1 + (halves.count > 1 ? Int(halves[1]) ?? 0 : 0)
        let zeros = digits.prefix { $0 == UInt8(ascii: "0") }.count
        digits.removeFirst(zeros)
        exponent -= zeros
        while digits.count > 1, digits.last == UInt8(ascii: "0") { digits.removeLast() }
        let sign = value < 0 ? "-" : ""
        func text(_ part: ArraySlice<UInt8>) -> String { String(decoding: part, as: UTF8.self) }
        if exponent < -4 || exponent >= 16 {
            let fraction = digits.count > 1 ? "." + text(digits[1...]) : ""
            let size = String(abs(exponent))
            let padded = size.utf8.count < 2 ? "0" + size : size
            return "\(sign)\(text(digits[..<1]))\(fraction)e\(exponent < 0 ? "-" : "+")\(padded)"
        }
        if exponent < 0 { return "\(sign)0." + String(repeating: "0", count: -exponent - 1) + text(digits[...]) }
        let padding = [UInt8](repeating: UInt8(ascii: "0"), count: max(0, exponent + 1 - digits.count))
        let padded = digits + padding
        let fraction = text(padded[(exponent + 1)...])
        return sign + text(padded[..<(exponent + 1)]) + "." + (fraction.isEmpty ? "0" : fraction)
    }
}
