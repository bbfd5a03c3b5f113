/// A set of characters out of one of ``UnicodeRanges``' tables.
struct CodePointSet: Sendable {
    private var starts: [UInt32] = []
    private var ends: [UInt32] = []

    init(_ table: String) {
        for range in table.split(whereSeparator: { $0 == " " || $0 == "\n" }) {
            let bounds = range.split(separator: "-").compactMap { UInt32($0, radix: 16) }
            if let first = bounds.first, let last = bounds.last {
                starts.append(first)
                ends.append(last)
            }
        }
    }

    func contains(_ code: UInt32) -> Bool {
        var (low, high) = (0, starts.count)
        while low < high {
            let middle = (low + high) / 2
            if code > ends[middle] { low = middle + 1 } else { high = middle }
        }
        return low < starts.count && code >= starts[low]
    }
}
