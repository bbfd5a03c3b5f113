/// Rows of float32 numbers, row-major.
///
/// Whoever makes results for each token keeps one matrix and passes it `inout`: as long as nobody else holds a copy,
/// writing into it allocates nothing.
public struct Matrix: Sendable, Equatable {
    public let rows: Int
    public let columns: Int
    /// rows * columns numbers.
    public private(set) var values: [Float]

    /// Zeros. Sizes below 0 count as 0.
    public init(rows: Int, columns: Int) {
        self.rows = max(0, rows)
        self.columns = max(0, columns)
        values = [Float](repeating: 0, count: self.rows * self.columns)
    }

    /// Throws ``PocketVLError/usage(_:)`` where there are not rows * columns numbers.
    public init(rows: Int, columns: Int, values: [Float]) throws(PocketVLError) {
        let (count, overflows) = rows.multipliedReportingOverflow(by: columns)
        guard rows >= 0, columns >= 0, !overflows, values.count == count else {
            throw .usage("A matrix of \(rows) x \(columns) cannot hold \(values.count) values.")
        }
        self.rows = rows
        self.columns = columns
        self.values = values
    }

    /// The number in a row and column, both below the matrix's own.
    public subscript(row: Int, column: Int) -> Float {
        get { values[row * columns + column] }
        set { values[row * columns + column] = newValue }
    }

    /// The numbers of one row.
    public func row(_ index: Int) -> ArraySlice<Float> { values[index * columns..<(index + 1) * columns] }

    /// A copy of some rows; those that are not there are left out.
    public func slice(_ wanted: Range<Int>) -> Matrix {
        let range = wanted.clamped(to: 0..<rows)
        let kept = values[range.lowerBound * columns..<range.upperBound * columns]
        return Matrix(unchecked: Array(kept), range.count, columns)
    }

    /// The numbers to be written in place.
    public mutating func withUnsafeMutableValues<Result>(
        _ body: (UnsafeMutableBufferPointer<Float>) throws -> Result
    ) rethrows -> Result {
        try values.withUnsafeMutableBufferPointer { try body($0) }
    }

    /// The numbers to be read in place.
    public func withUnsafeValues<Result>(
        _ body: (UnsafeBufferPointer<Float>) throws -> Result
    ) rethrows -> Result {
        try values.withUnsafeBufferPointer(body)
    }

    private init(unchecked values: [Float], _ rows: Int, _ columns: Int) {
        self.rows = rows
        self.columns = columns
        self.values = values
    }
}
