import Foundation

/// Numbers as the user's language writes them, without units.
public struct Numbers: Sendable {
    private let locale: Locale

    public init(locale: Locale = .current) { self.locale = locale }

    /// With exactly `digits` digits after the decimal separator, rounded half up; "–" for what is no number.
    public func decimal(_ value: Double, digits: Int) -> String {
        if !value.isFinite { return "–" }
        let power = pow(10, Double(digits))
        let rounded = (value * power).rounded(.toNearestOrAwayFromZero) / power + 0  // never "-0.0"
        return rounded.formatted(.number.precision(.fractionLength(digits)).locale(locale))
    }

    public func whole(_ value: Int) -> String { decimal(Double(value), digits: 0) }

    /// Two digits below ten, one below a hundred, else none: 1.42, 12.7, 312.
    public func significant(_ value: Double) -> String {
        decimal(value, digits: abs(value) < 9.995 ? 2 : abs(value) < 99.95 ? 1 : 0)
    }

    /// Bytes in millions, as shops and file managers count: 1,652.
    public func megabytes(_ bytes: Int) -> String { decimal(Double(bytes) / 1e6, digits: 0) }

    /// Bytes in thousand millions, two digits: 1.65.
    public func gigabytes(_ bytes: Int) -> String { decimal(Double(bytes) / 1e9, digits: 2) }

    /// From 0 to 100, rounded down, so that 100 means done; 0 where there is nothing to do.
    public func percent(_ done: Int, of total: Int) -> Int {
        total <= 0 ? 0 : Int(Double(min(max(done, 0), total)) * 100 / Double(total))
    }
}
