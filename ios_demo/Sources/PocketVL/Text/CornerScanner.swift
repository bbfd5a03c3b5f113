/// Reads points "(x,y)", parted by commas, with space anywhere between; the numbers have at most four digits, and nine
/// behind a point.
struct CornerScanner {
    private let text: [Unicode.Scalar]
    private(set) var end = 0

    init(_ text: [Unicode.Scalar]) { self.text = text }

    var isAtEnd: Bool { end == text.count }

    /// x, y of `count` points from scalar `start` on; nil if they are not there.
    mutating func corners(from start: Int, count: Int) -> [Double]? {
        end = start
        var found: [Double] = []
        for index in 0..<count {
            if index > 0 {
                skipSpace()
                guard taken(",") else { return nil }
                skipSpace()
            }
            guard taken("("), let x = number(), taken(","), let y = number(), taken(")") else { return nil }
            found += [x, y]
        }
        return found
    }

    private mutating func number() -> Double? {
        skipSpace()
        var digits = ""
        guard takeDigits(into: &digits, most: 4) else { return nil }
        if taken(".") {
            digits += "."
            guard takeDigits(into: &digits, most: 9) else { return nil }
        }
        skipSpace()
        return Double(digits)
    }

    /// Decimal digits of any script, as ASCII.
    private mutating func takeDigits(into digits: inout String, most: Int) -> Bool {
        var count = 0
        while end < text.count, count < most, text[end].properties.numericType == .decimal,
            let value = text[end].properties.numericValue, let digit = Int(exactly: value)
        {
            digits += String(digit)
            count += 1
            end += 1
        }
        return count > 0
    }

    private mutating func taken(_ scalar: Unicode.Scalar) -> Bool {
        guard end < text.count, text[end] == scalar else { return false }
        end += 1
        return true
    }

    private mutating func skipSpace() {
        while end < text.count, text[end].isSpace { end += 1 }
    }
}
