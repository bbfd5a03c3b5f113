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
            let touched = folder.url.appendingPathComponent("touched.data")
            let beside = folder.url.deletingLastPathComponent()
                .appendingPathComponent(folder.url.lastPathComponent + ".data")
            defer { try? FileManager.default.removeItem(at: beside) }
            for file in [inside, touched, beside] { try write(bytes, to: file) }
            let (read, written, other) = (try mapped(inside), try mapped(touched), try mapped(beside))
            defer { for one in [read, written, other] { munmap(one.baseAddress, one.count) } }
            written[0] = 99
            for one in [read, written, other] { #expect(one.dropFirst().elementsEqual(bytes.dropFirst())) }
            #expect(try resident(read) == bytes.count)

            FilePages.giveBack(below: folder.url)
            if try isOnDisk(inside) { #expect(try resident(read) == 0) }
            #expect(try resident(written) == bytes.count && resident(other) == bytes.count)
            #expect(written[0] == 99)
            #expect(read.elementsEqual(bytes))
        }

        @Test("memory that came to where a file was mapped keeps what is in it")
        func another() throws {
            let count = 1 << 20
            let came = try #require(
                mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0) as UnsafeMutableRawPointer?)
            try #require(came != MAP_FAILED)
            defer { munmap(came, count) }
            let memory = UnsafeMutableRawBufferPointer(start: came, count: count)
            memory.initializeMemory(as: UInt8.self, repeating: 7)
            FilePages.pageOut(.init(first: UInt(bitPattern: came), count: UInt(count), path: "/of/a/file/before"))
            #expect(memory.allSatisfy { $0 == 7 })
        }

        /// And wait until the disk has them: pages that were not written yet stay in memory.
        private func write(_ bytes: [UInt8], to file: URL) throws {
            try Data(bytes).write(to: file)
            let descriptor = open(file.path, O_RDONLY)
            defer { close(descriptor) }
            try #require(fsync(descriptor) == 0)
        }

        /// Whether the pages are elsewhere, too: those of files on a device are, those of tmpfs are not. Other file
        /// systems without a device of their own (overlay, NFS) are left out.
        private func isOnDisk(_ file: URL) throws -> Bool {
            let attributes = try FileManager.default.attributesOfItem(atPath: file.path)
            return try #require(attributes[.systemNumber] as? Int) >> 8 > 0
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
