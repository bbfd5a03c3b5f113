#if canImport(CoreML) && (arch(arm64) || !os(macOS))
    import CoreML
    import Foundation
    import PocketVL

    // float16 arrays of Core ML as rows of float32. An array of rank n has shape[n - 1] columns, and counts as rows what
    // lies before; all sizes before the last two are 1.

    extension MLMultiArray {
        var sizes: [Int] { shape.map(\.intValue) }

        /// Writes rows of a matrix with as many columns to the first rows; the rest becomes zeros.
        func fill(_ matrix: Matrix, rows wanted: Range<Int>) {
            let columns = matrix.columns
            let rows = sizes.dropLast().reduce(1, *)
            withUnsafeMutableBytes { bytes, strides in
                let target = bytes.bindMemory(to: Float16.self)
                matrix.withUnsafeValues { source in
                    for row in 0..<rows {
                        let start = row * Self.rowStride(strides)
                        guard row < wanted.count else {
                            for column in 0..<columns { target[start + column] = 0 }
                            continue
                        }
                        let first = (wanted.lowerBound + row) * columns
                        for column in 0..<columns { target[start + column] = Float16(source[first + column]) }
                    }
                }
            }
        }

        /// Writes a number for each place of the array.
        func fill(_ value: (_ row: Int, _ column: Int) -> Float16) {
            let (rows, columns) = (sizes.dropLast().reduce(1, *), sizes.last ?? 1)
            withUnsafeMutableBytes { bytes, strides in
                let target = bytes.bindMemory(to: Float16.self)
                for row in 0..<rows {
                    let start = row * Self.rowStride(strides)
                    for column in 0..<columns { target[start + column] = value(row, column) }
                }
            }
        }

        /// Copies the first rows to rows of a matrix with as many columns.
        func copy(to matrix: inout Matrix, rows range: Range<Int>) {
            let columns = matrix.columns
            let strides = strides.map(\.intValue)
            withUnsafeBytes { bytes in
                let source = bytes.bindMemory(to: Float16.self)
                let step = strides.last ?? 1
                matrix.withUnsafeMutableValues { target in
                    for row in 0..<range.count {
                        let start = row * Self.rowStride(strides)
                        let first = (range.lowerBound + row) * columns
                        for column in 0..<columns { target[first + column] = Float(source[start + column * step]) }
                    }
                }
            }
        }

        private static func rowStride(_ strides: [Int]) -> Int { strides.dropLast().last ?? 0 }
    }
#endif
