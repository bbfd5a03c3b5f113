#if canImport(PocketVLOnnx) && os(Linux)
    import Foundation
    import Testing

    @testable import PocketVLOnnx

    @Suite struct FilePagesTests {
        @Test("pages of files below a folder go back and read the same; those that were written to stay")
        func givenBack() throws {
            let folder = TemporaryFolder()
            let bytes = (0..<1 << 16).map { UInt8(truncatingIfNeeded: $0 / 7) }
            let inside = folder.url.appendingPathComponent("inside.data")
            let beside = folder.url.deletingLastPathComponent()
                .appendingPathComponent(folder.url.lastPathComponent + ".data")
            defer { try? FileManager.default.removeItem(at: beside) }
            for file in [inside, beside] { try Data(bytes).write(to: file) }
            let (read, written, other) = (try mapped(inside), try mapped(inside), try mapped(beside))
            defer { for one in [read, written, other] { munmap(one.baseAddress, one.count) } }
            written[0] = 99
            for one in [read, written, other] { #expect(one.dropFirst().elementsEqual(bytes.dropFirst())) }
            #expect(try resident(read) == bytes.count)

            FilePages.giveBack(below: folder.url)
            #expect(try resident(read) == 0)
            #expect(try resident(written) == bytes.count && resident(other) == bytes.count)
            #expect(written[0] == 99)
            #expect(read.elementsEqual(bytes))
        }

        private func mapped(_ file: URL) throws -> UnsafeMutableRawBufferPointer {
            let descriptor = open(file.path, O_RDONLY)
            defer { close(descriptor) }
            let size = try #require(try file.resourceValues(forKeys: [.fileSizeKey]).fileSize)
            let start = try #require(
                mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0) as UnsafeMutableRawPointer?)
            try #require(start != MAP_FAILED)
            return UnsafeMutableRawBufferPointer(start: start, count: size)
        }

        private func resident(_ memory: UnsafeMutableRawBufferPointer) throws -> Int {
            let start = UInt(bitPattern: memory.baseAddress)
            return try #require(FilePages.mappings().first { $0.first == start }).residentBytes
        }
    }
#endif
