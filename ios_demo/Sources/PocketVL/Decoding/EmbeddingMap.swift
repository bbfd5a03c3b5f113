import Foundation

/// Token embeddings, gathered row by row from a memory-mapped file; only rows asked for are ever read.
public final class EmbeddingMap: Sendable {
    public let table: EmbeddingTable
    private let file: MappedFile

    /// Throws ``PocketVLError/bundle(_:)`` if the file is missing or ends before the table does.
    public init(_ file: URL, _ table: EmbeddingTable) throws(PocketVLError) {
        let path = file.path
        if table.storage.bits == 4 && table.columns % 2 != 0 {
            throw .bundle(
                "\(path) has an \(table.storage.rawValue) table of \(table.columns) columns, but two columns share a"
                    + " byte; export the bundle again.")
        }
        let mapped = try MappedFile(path) {
            .bundle("The embedding table \(path) cannot be read (\($0)); copy the bundle again.")
        }
        if mapped.bytes.count < table.end {
            throw .bundle(
                "\(path) has \(mapped.bytes.count) bytes, but its embedding table ends at \(table.end); the file is cut"
                    + " off: copy or export the bundle again.")
        }
        self.table = table
        self.file = mapped
    }

    /// Copies the rows of some ids into the first rows of `matrix`, which is (at least ids.count, columns).
    ///
    /// Throws ``PocketVLError/engine(_:)`` for an id outside the table, ``PocketVLError/usage(_:)`` for a matrix of
    /// another size.
    public func gather(_ ids: ArraySlice<Int>, into matrix: inout Matrix) throws(PocketVLError) {
        if matrix.columns != table.columns || matrix.rows < ids.count {
            throw .usage(
                "\(ids.count) rows of \(table.columns) embeddings do not fit into \(matrix.rows) x \(matrix.columns).")
        }
        if let outside = ids.first(where: { !(0..<table.rows).contains($0) }) {
            throw .engine(
                "Token id \(outside) is outside the embedding table of \(table.rows) rows;"
                    + " the tokenizer and the weights do not belong together.")
        }
        matrix.withUnsafeMutableValues { values in
            for (row, id) in ids.enumerated() {
                let start = row * table.columns
                let out = UnsafeMutableBufferPointer(rebasing: values[start..<start + table.columns])
                read(row: id, into: out)
                scale(row: id, out)
            }
        }
    }

    /// The rows of some ids: (ids.count, columns).
    public func gather(_ ids: [Int]) throws(PocketVLError) -> Matrix {
        var matrix = Matrix(rows: ids.count, columns: table.columns)
        try gather(ids[...], into: &matrix)
        return matrix
    }

    /// Stored values as numbers, not yet scaled. `init` saw that they are within the file.
    private func read(row: Int, into out: UnsafeMutableBufferPointer<Float>) {
        let start = table.dataOffset + row * table.rowBytes
        let stored = UnsafeRawBufferPointer(rebasing: file.bytes[start..<start + table.rowBytes])
        switch table.storage {
        case .float32:
            for column in out.indices { out[column] = Float(littleEndianBits: stored, at: column) }
        case .float16:
            for column in out.indices { out[column] = Float(halfBits: stored, at: column) }
        case .int8:
            for column in out.indices { out[column] = Float(Int8(bitPattern: stored[column])) }
        case .offsetInt8:
            for column in out.indices { out[column] = Float(stored[column]) - 128 }
        case .int4, .signedInt4:  // low nibble first; a sign bit flipped is 8 more
            let flip: UInt8 = table.storage == .signedInt4 ? 0x88 : 0
            for pair in stored.indices {
                let byte = stored[pair] ^ flip
                out[2 * pair] = Float(byte & 0xF) - 8
                out[2 * pair + 1] = Float(byte >> 4) - 8
            }
        }
    }

    private func scale(row: Int, _ out: UnsafeMutableBufferPointer<Float>) {
        guard let scales = table.scales else { return }
        let start = scales.offset + row * table.scalesRowBytes
        let stored = UnsafeRawBufferPointer(rebasing: file.bytes[start..<start + table.scalesRowBytes])
        for group in 0..<table.columns / scales.groupSize {
            let scale =
                switch scales.type {
                case .float32: Float(littleEndianBits: stored, at: group)
                case .float16: Float(halfBits: stored, at: group)
                case .bfloat16: Float(brainBits: stored, at: group)
                }
            for column in group * scales.groupSize..<(group + 1) * scales.groupSize { out[column] *= scale }
        }
    }
}

extension Float {
    /// The float32 number `index` of a little-endian buffer.
    init(littleEndianBits bytes: UnsafeRawBufferPointer, at index: Int) {
        let bits = bytes.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self)
        self.init(bitPattern: UInt32(littleEndian: bits))
    }

    /// The bfloat16 number, which is the upper half of a float32.
    init(brainBits bytes: UnsafeRawBufferPointer, at index: Int) {
        let bits = bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)
        self.init(bitPattern: UInt32(UInt16(littleEndian: bits)) << 16)
    }

    /// The float16 number (IEEE 754 binary16), which Swift has no type for on Intel Macs.
    init(halfBits bytes: UnsafeRawBufferPointer, at index: Int) {
        let bits = UInt32(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)))
        let sign = (bits & 0x8000) << 16
        let exponent = (bits >> 10) & 0x1F
        let fraction = bits & 0x3FF
        switch exponent {
        case 0x1F: self.init(bitPattern: sign | 0x7F80_0000 | fraction << 13)
        case 0:  // subnormal: fraction * 2^-24
            let magnitude = Float(fraction) * Float(bitPattern: 0x3380_0000)
            self = sign == 0 ? magnitude : -magnitude
        default: self.init(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
        }
    }
}
