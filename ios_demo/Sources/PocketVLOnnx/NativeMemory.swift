import Foundation
import PocketVL

/// Memory for `rows` x `columns` floats that native code reads and writes in place; zeros at first.
///
/// Its pages take memory only once they are written: a KV cache is mostly empty.
final class NativeMatrix {
    let rows: Int
    let columns: Int
    let values: UnsafeMutableBufferPointer<Float>

    init(rows: Int, columns: Int) throws(PocketVLError) {
        self.rows = rows
        self.columns = columns
        let (count, overflows) = rows.multipliedReportingOverflow(by: columns)
        let (bytes, overflowsBytes) = count.multipliedReportingOverflow(by: MemoryLayout<Float>.stride)
        let protection = PROT_READ | PROT_WRITE
        guard !overflows, !overflowsBytes, bytes > 0,
            let start = mmap(nil, bytes, protection, MAP_PRIVATE | MAP_ANON, -1, 0), start != MAP_FAILED
        else { throw .engine("There is no memory for \(rows) x \(columns) numbers; close other apps or take less.") }
        values = UnsafeMutableBufferPointer(
            start: start.bindMemory(to: Float.self, capacity: count), count: count)
    }

    deinit { munmap(values.baseAddress, values.count * MemoryLayout<Float>.stride) }

    /// Copies rows of a matrix with as many columns to the first rows; the rest stays as it is.
    func fill(_ matrix: Matrix, rows wanted: Range<Int>? = nil) {
        let range = wanted ?? 0..<matrix.rows
        matrix.withUnsafeValues { source in
            let part = source[range.lowerBound * columns..<range.upperBound * columns]
            _ = values.update(fromContentsOf: part)
        }
    }

    /// Copies the first rows to some of a matrix with as many columns.
    func copy(to matrix: inout Matrix, rows range: Range<Int>) {
        matrix.withUnsafeMutableValues { target in
            let part = UnsafeMutableBufferPointer(
                rebasing: target[range.lowerBound * columns..<range.upperBound * columns])
            _ = part.update(fromContentsOf: values.prefix(range.count * columns))
        }
    }
}

/// One number that native code reads.
final class NativeInt32 {
    let pointer: UnsafeMutablePointer<Int32>

    init() {
        pointer = .allocate(capacity: 1)
        pointer.initialize(to: 0)
    }

    var value: Int {
        get { Int(pointer.pointee) }
        set { pointer.pointee = Int32(clamping: newValue) }
    }

    deinit { pointer.deallocate() }
}
