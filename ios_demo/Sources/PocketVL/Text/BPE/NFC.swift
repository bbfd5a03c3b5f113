import Foundation

/// Normalization form C as the tokenizers library has it, which is that of Unicode 9.
///
/// Each system knows another version. What was assigned by Unicode 9 has the same form C in all later ones (Unicode's
/// stability policy). A character that came later stands for itself in the library, and nothing is moved across it or
/// joined with it: the text is normalized piece by piece between such characters.
enum NFC {
    /// Below it every character is its own form C, and none combines with the one before.
    private static let firstMark: UInt32 = 0x300

    private static let later = CodePointSet(UnicodeRanges.laterThanUnicode9)

    static func normalized(_ text: String) -> [Unicode.Scalar] {
        let scalars = Array(text.unicodeScalars)
        if scalars.allSatisfy({ $0.value < firstMark }) { return scalars }
        var result: [Unicode.Scalar] = []
        result.reserveCapacity(scalars.count)
        var start = 0
        for (index, scalar) in scalars.enumerated() where scalar.value >= firstMark && later.contains(scalar.value) {
            result += piece(scalars[start..<index])
            result.append(scalar)
            start = index + 1
        }
        return result + piece(scalars[start...])
    }

    private static func piece(_ scalars: ArraySlice<Unicode.Scalar>) -> [Unicode.Scalar] {
        if scalars.isEmpty { return [] }
        var text = String.UnicodeScalarView()
        text.append(contentsOf: scalars)
        return composedHangul(Array(String(text).precomposedStringWithCanonicalMapping.unicodeScalars))
    }

    /// Foundation on Linux now and then leaves a syllable and its final consonant apart. By arithmetic, as Unicode has it
    /// (chapter 3.12): a syllable without a final consonant and one that follows are one; so are two letters before it.
    private static func composedHangul(_ scalars: [Unicode.Scalar]) -> [Unicode.Scalar] {
        var composed: [Unicode.Scalar] = []
        composed.reserveCapacity(scalars.count)
        for scalar in scalars {
            if let before = composed.last, let joined = joined(before.value, scalar.value) {
                composed[composed.count - 1] = joined
            } else {
                composed.append(scalar)
            }
        }
        return composed
    }

    private static func joined(_ first: UInt32, _ second: UInt32) -> Unicode.Scalar? {
        let (leading, vowel, trailing, syllable): (UInt32, UInt32, UInt32, UInt32) = (0x1100, 0x1161, 0x11A7, 0xAC00)
        if (leading..<leading + 19).contains(first), (vowel..<vowel + 21).contains(second) {
            return Unicode.Scalar(syllable + ((first - leading) * 21 + (second - vowel)) * 28)
        }
        if (syllable..<syllable + 11172).contains(first), (first - syllable) % 28 == 0,
            (trailing + 1..<trailing + 28).contains(second)
        {
            return Unicode.Scalar(first + second - trailing)
        }
        return nil
    }
}
