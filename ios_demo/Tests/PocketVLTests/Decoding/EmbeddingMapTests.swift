import Foundation
import Testing

@testable import PocketVL

@Suite struct EmbeddingMapTests {
    @Test("rows of every storage are the golden ones, to the bit")
    func golden() throws {
        let folder = try TemporaryFolder()
        let cases = try Golden.read("embedding")["cases"].items
        #expect(cases.count == 6)
        for one in cases {
            let file = try folder.write("table.bin", one["file_base64"].base64)
            let map = try EmbeddingMap(file, table(one))
            let rows = try map.gather(one["ids"].ints)
            let expected = try one["expected"].items.flatMap { try $0.doubles.map(Float.init) }
            #expect(rows.values == expected, "\(one["storage"])")
        }
    }

    @Test("float16 becomes the same number in float32, for all of them")
    func halves() {
        for bits in UInt16.min...UInt16.max {
            let bytes = [UInt8(bits & 0xFF), UInt8(bits >> 8)]
            let found = bytes.withUnsafeBytes { Float(halfBits: $0, at: 0) }
            #if !((os(macOS) || targetEnvironment(macCatalyst)) && arch(x86_64))
                let expected = Float(Float16(bitPattern: bits))
                #expect(found == expected || (found.isNaN && expected.isNaN))
                #expect(found.sign == expected.sign || found.isNaN)
            #endif
        }
    }

    @Test("what does not fit is refused")
    func refused() throws {
        let folder = try TemporaryFolder()
        let one = try Golden.read("embedding")["cases"][0]
        let bytes = try one["file_base64"].base64
        let table = try table(one)
        let file = try folder.write("table.bin", bytes)
        let map = try EmbeddingMap(file, table)
        #expect(try refusal { _ = try map.gather([table.rows]) } != nil)
        #expect(try refusal { _ = try map.gather([-1]) } != nil)
        var small = Matrix(rows: 1, columns: table.columns)
        #expect(try refusal { try map.gather([0, 1], into: &small) } != nil)
        let cut = try folder.write("cut.bin", Array(bytes.dropLast()))
        #expect(try refusal { _ = try EmbeddingMap(cut, table) }?.isBundle == true)
        #expect(try refusal { _ = try EmbeddingMap(folder.url, table) }?.isBundle == true)
        let missing = folder.url.appendingPathComponent("no.bin")
        #expect(try refusal { _ = try EmbeddingMap(missing, table) }?.isBundle == true)
        let empty = try folder.write("empty.bin", [])
        #expect(try refusal { _ = try EmbeddingMap(empty, table) }?.isBundle == true)
        let odd = try EmbeddingTable(
            file: "table.bin", rows: 2, columns: 3, storage: "int4", dataOffset: 0, scalesOffset: 0,
            scalesDtype: "float16", groupSize: 3)
        #expect(try refusal { _ = try EmbeddingMap(file, odd) }?.isBundle == true)
    }

    @Test("a table as large as no file ends beyond every file, without an overflow")
    func huge() throws {
        let table = try EmbeddingTable(
            file: "t", rows: .max, columns: .max, storage: "int8", dataOffset: .max, scalesOffset: .max,
            scalesDtype: "float32", groupSize: 1)
        #expect(table.end == .max)
    }

    private func table(_ one: JSON) throws -> EmbeddingTable {
        try EmbeddingTable(
            file: "table.bin", rows: one["rows"].int, columns: one["columns"].int, storage: one["storage"].string,
            dataOffset: one["data_offset"].int, scalesOffset: one["scales_offset"].asInteger,
            scalesDtype: one["scales_dtype"].asString, groupSize: one["group_size"].asInteger)
    }
}
