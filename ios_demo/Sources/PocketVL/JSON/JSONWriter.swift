/// Writes JSON on one line, without spaces.
struct JSONWriter {
    private(set) var text = ""

    /// False for a double that JSON cannot write.
    mutating func write(_ value: JSON) -> Bool {
        switch value {
        case .null: text += "null"
        case .bool(let bool): text += bool ? "true" : "false"
        case .integer(let integer): text += String(integer)
        case .largeInteger(let digits): text += digits
        case .double(let double):
            guard double.isFinite else { return false }
            text += String(double)
        case .string(let string): write(string)
        case .array(let values):
            text += "["
            for (index, value) in values.enumerated() {
                if index > 0 { text += "," }
                guard write(value) else { return false }
            }
            text += "]"
        case .object(let object):
            text += "{"
            for (index, member) in object.members.enumerated() {
                if index > 0 { text += "," }
                write(member.key)
                text += ":"
                guard write(member.value) else { return false }
            }
            text += "}"
        }
        return true
    }

    private mutating func write(_ string: String) {
        text += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"", "\\": text += "\\" + String(Character(scalar))
            case "\n": text += "\\n"
            case "\u{0}"..<" ", "\u{2028}", "\u{2029}":
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}
