/// UTF-8 to text piece by piece: a character is held back until all its bytes are there.
///
/// What is no UTF-8 becomes U+FFFD, one for each maximal subpart (Unicode, chapter 3.9), as in Python.
struct UTF8Decoder: Sendable {
    private var held: [UInt8] = []  // of a character that is not whole
    private var missing = 0  // bytes that it lacks
    private var range: ClosedRange<UInt8> = 0x80...0xBF  // of its next byte

    /// The text that `bytes` complete.
    mutating func decode(_ bytes: [UInt8]) -> String {
        var out = String.UnicodeScalarView()
        for byte in bytes { push(byte, &out) }
        return String(out)
    }

    /// U+FFFD if the bytes ended inside a character. Ready for another text.
    mutating func finish() -> String {
        defer { missing = 0 }
        return missing > 0 ? "\u{FFFD}" : ""
    }

    private mutating func push(_ byte: UInt8, _ out: inout String.UnicodeScalarView) {
        if missing > 0 {
            if range.contains(byte) {
                range = 0x80...0xBF
                held.append(byte)
                missing -= 1
                if missing == 0 { out.append(contentsOf: String(decoding: held, as: UTF8.self).unicodeScalars) }
                return
            }
            missing = 0
            out.append("\u{FFFD}")
        }
        switch byte {
        case 0x00...0x7F: out.append(Unicode.Scalar(byte))
        case 0xC2...0xDF: begin(byte, lacking: 1)
        case 0xE0: begin(byte, lacking: 2, 0xA0...0xBF)
        case 0xED: begin(byte, lacking: 2, 0x80...0x9F)
        case 0xE1...0xEF: begin(byte, lacking: 2)
        case 0xF0: begin(byte, lacking: 3, 0x90...0xBF)
        case 0xF1...0xF3: begin(byte, lacking: 3)
        case 0xF4: begin(byte, lacking: 3, 0x80...0x8F)
        default: out.append("\u{FFFD}")
        }
    }

    private mutating func begin(_ byte: UInt8, lacking: Int, _ next: ClosedRange<UInt8> = 0x80...0xBF) {
        held = [byte]
        missing = lacking
        range = next
    }
}
