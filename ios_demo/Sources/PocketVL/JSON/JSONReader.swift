/// Reads one JSON document from UTF-8.
struct JSONReader {
    private static let mostDigits = 4300  // of an integer, as in Python

    private let bytes: [UInt8]
    private var at = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func document() throws(JSONError) -> JSON {
        let value = try value(depth: 0)
        try finish()
        return value
    }

    private mutating func value(depth: Int) throws(JSONError) -> JSON {
        if depth > JSON.maxDepth { throw fail("nesting deeper than \(JSON.maxDepth)") }
        skipSpace()
        guard let next = peek() else { throw fail("the text ends too early") }
        switch next {
        case UInt8(ascii: "{"): return .object(try object(depth: depth))
        case UInt8(ascii: "["): return .array(try array(depth: depth))
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw fail("unexpected \(shown(next))")
        }
    }

    private mutating func object(depth: Int) throws(JSONError) -> JSONObject {
        var object = JSONObject()
        at += 1
        skipSpace()
        if taken("}") { return object }
        while true {
            skipSpace()
            guard peek() == UInt8(ascii: "\"") else { throw fail("a key in quotes is missing") }
            let start = at
            let key = try string()
            if object[key] != nil {
                at = start
                throw fail("the key \"\(key)\" is there twice")
            }
            skipSpace()
            try expect(":")
            object[key] = try value(depth: depth + 1)
            skipSpace()
            if taken("}") { return object }
            try expect(",")
        }
    }

    private mutating func array(depth: Int) throws(JSONError) -> [JSON] {
        var values: [JSON] = []
        at += 1
        skipSpace()
        if taken("]") { return values }
        while true {
            values.append(try value(depth: depth + 1))
            skipSpace()
            if taken("]") { return values }
            try expect(",")
        }
    }

    private mutating func string() throws(JSONError) -> String {
        let start = at
        return try decoded(stringBytes(), from: start)
    }

    /// The bytes of a string, whose opening quote is next; whether they are UTF-8 is not looked at.
    mutating func stringBytes() throws(JSONError) -> [UInt8] {
        if !taken("\"") { throw fail("a string is missing") }
        var start = at
        var built: [UInt8] = []
        while let next = peek() {
            switch next {
            case UInt8(ascii: "\""):
                built += bytes[start..<at]
                at += 1
                return built
            case UInt8(ascii: "\\"):
                built += bytes[start..<at]
                try escape(into: &built)
                start = at
            case 0..<0x20:
                throw fail("a control character in a string")
            default:
                at += 1
            }
        }
        throw fail("a string has no end")
    }

    /// Reads an object member by member without keeping any: `body` is called at each value, which it must read.
    mutating func members(
        _ body: (inout JSONReader, _ key: [UInt8]) throws(JSONError) -> Void
    ) throws(JSONError) {
        skipSpace()
        try expect("{")
        skipSpace()
        if taken("}") { return }
        while true {
            skipSpace()
            let key = try stringBytes()
            skipSpace()
            try expect(":")
            skipSpace()
            try body(&self, key)
            skipSpace()
            if taken("}") { return }
            try expect(",")
        }
    }

    /// Likewise an array.
    mutating func elements(_ body: (inout JSONReader) throws(JSONError) -> Void) throws(JSONError) {
        skipSpace()
        try expect("[")
        skipSpace()
        if taken("]") { return }
        while true {
            skipSpace()
            try body(&self)
            skipSpace()
            if taken("]") { return }
            try expect(",")
        }
    }

    /// Whatever comes next, as a value.
    mutating func value() throws(JSONError) -> JSON { try value(depth: 0) }

    /// Throws unless everything has been read.
    mutating func finish() throws(JSONError) {
        skipSpace()
        if at < bytes.count { throw fail("more text after the value") }
    }

    /// Whether the next value is an array.
    var isAtArray: Bool { peek() == UInt8(ascii: "[") }

    /// Swift repairs what is no UTF-8, so that a text is what was there only if its bytes still are.
    private func decoded(_ utf8: [UInt8], from start: Int) throws(JSONError) -> String {
        let text = String(decoding: utf8, as: UTF8.self)
        guard text.utf8.elementsEqual(utf8) else {
            throw JSONError(message: "bytes that are no UTF-8 at byte \(start)", offset: start)
        }
        return text
    }

    private mutating func escape(into built: inout [UInt8]) throws(JSONError) {
        at += 1
        guard let code = peek() else { throw fail("a string has no end") }
        at += 1
        switch code {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): built.append(code)
        case UInt8(ascii: "b"): built.append(0x08)
        case UInt8(ascii: "f"): built.append(0x0C)
        case UInt8(ascii: "n"): built.append(0x0A)
        case UInt8(ascii: "r"): built.append(0x0D)
        case UInt8(ascii: "t"): built.append(0x09)
        case UInt8(ascii: "u"): built += Array(String(Character(try escapedScalar())).utf8)
        default: throw fail("the escape \\\(String(decoding: [code], as: UTF8.self)) does not exist")
        }
    }

    /// After "\u": one code unit of UTF-16, or two that are a pair.
    private mutating func escapedScalar() throws(JSONError) -> Unicode.Scalar {
        let first = try unit()
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard (0xD800..<0xDC00).contains(first), taken("\\"), taken("u") else { throw fail("half of a character") }
        let second = try unit()
        guard (0xDC00..<0xE000).contains(second),
            let scalar = Unicode.Scalar(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
        else { throw fail("half of a character") }
        return scalar
    }

    private mutating func unit() throws(JSONError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let next = peek(), let digit = hexDigit(next) else {
                throw fail("an escape without four hexadecimal digits")
            }
            code = code * 16 + digit
            at += 1
        }
        return code
    }

    private func hexDigit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a") + 10)
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A") + 10)
        default: nil
        }
    }

    private mutating func number() throws(JSONError) -> JSON {
        let start = at
        _ = taken("-")
        if !taken("0") { try digits() }
        var isWhole = true
        if taken(".") {
            isWhole = false
            try digits()
        }
        if taken("e") || taken("E") {
            isWhole = false
            if !taken("+") { _ = taken("-") }
            try digits()
        }
        let written = String(decoding: bytes[start..<at], as: UTF8.self)
        if isWhole {
            if at - start > Self.mostDigits { throw fail("an integer of more than \(Self.mostDigits) digits") }
            return Int64(written).map(JSON.integer) ?? .largeInteger(written)
        }
        guard let value = Double(written), value.isFinite else {
            throw fail("the number \(written.prefix(20)) is too large")
        }
        return .double(value)
    }

    private mutating func digits() throws(JSONError) {
        let start = at
        while let next = peek(), (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(next) { at += 1 }
        if at == start { throw fail("a number without digits") }
    }

    private mutating func literal(_ word: StaticString, _ value: JSON) throws(JSONError) -> JSON {
        let length = word.utf8CodeUnitCount
        let matches = word.withUTF8Buffer { bytes[at...].prefix(length).elementsEqual($0) }
        guard matches else { throw fail("unexpected \(shown(bytes[at]))") }
        at += length
        return value
    }

    private mutating func skipSpace() {
        while let next = peek(), next == 0x20 || next == 0x09 || next == 0x0A || next == 0x0D { at += 1 }
    }

    private func peek() -> UInt8? { at < bytes.count ? bytes[at] : nil }

    private mutating func taken(_ scalar: Unicode.Scalar) -> Bool {
        guard peek() == UInt8(ascii: scalar) else { return false }
        at += 1
        return true
    }

    private mutating func expect(_ scalar: Unicode.Scalar) throws(JSONError) {
        if !taken(scalar) { throw fail("'\(scalar)' is missing") }
    }

    private func shown(_ byte: UInt8) -> String {
        if (0x20...0x7E).contains(byte) { return "'\(Unicode.Scalar(byte))'" }
        return "the byte 0x" + String(byte, radix: 16)
    }

    func fail(_ what: String) -> JSONError { JSONError(message: "\(what) at byte \(at)", offset: at) }
}
