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
        return Array(String(text).precomposedStringWithCanonicalMapping.unicodeScalars)
    }
}
