import Foundation

/// A file in memory, of which only what is touched is ever read. It must not become shorter while it is mapped.
final class MappedFile: @unchecked Sendable {  // nothing changes after init
    let bytes: UnsafeRawBufferPointer

    /// Throws what `kind` makes of the reason for which it cannot be mapped.
    init(_ path: String, _ kind: (_ reason: String) -> PocketVLError) throws(PocketVLError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw kind(BundleFile.reason()) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw kind(BundleFile.reason()) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw kind("it is no regular file") }
        guard status.st_size > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        let size = Int(status.st_size)
        guard let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), start != MAP_FAILED else {
            throw kind(BundleFile.reason())
        }
        bytes = UnsafeRawBufferPointer(start: start, count: size)
    }

    deinit {
        if let start = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: start), bytes.count) }
    }
}
