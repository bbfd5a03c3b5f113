/// Arithmetic on numbers from files, which are not bounded yet: what is too large for an `Int` stays the largest one,
/// so that a comparison with a bound comes out as it would in exact arithmetic.
enum Saturating {
    static func sum(_ a: Int, _ b: Int) -> Int {
        let (sum, overflows) = a.addingReportingOverflow(b)
        return overflows ? (a < 0 ? .min : .max) : sum
    }

    static func product(_ a: Int, _ b: Int) -> Int {
        let (product, overflows) = a.multipliedReportingOverflow(by: b)
        return overflows ? ((a < 0) == (b < 0) ? .max : .min) : product
    }
}
