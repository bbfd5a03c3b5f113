import Foundation

/// Whole files of an app's own: read where they are regular and not too large, replaced at once or not at all.
enum FileBytes {
    /// Throws ``PocketVLError/conversation(_:)``. Pipes and devices are refused, because they may never end.
    static func read(_ path: String, most: Int) throws(PocketVLError) -> [UInt8] {
        let shown = path.shortenedPath
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno == ENOENT || errno == ENOTDIR {
                throw .conversation("\(shown) does not exist; check the path.")
            }
            throw .conversation("\(shown) cannot be read (\(BundleFile.reason())); check the path.")
        }
        defer { close(descriptor) }
        var found = stat()
        guard fstat(descriptor, &found) == 0 else {
            throw .conversation("\(shown) cannot be read (\(BundleFile.reason())); check the path.")
        }
        switch found.st_mode & S_IFMT {
        case S_IFREG: break
        case S_IFDIR: throw .conversation("\(shown) is a folder; give the path of one file.")
        default:
            throw .conversation(
                "\(shown) is something else, not a regular file; copy what it gives into a file and name that.")
        }
        let size = Int(found.st_size)
        if size > most {
            throw .conversation("\(shown) has \(size) bytes, more than the limit of \(most); give a smaller file.")
        }
        var failed = false
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            while count < size {
                let more = buffer.baseAddress.map {
                    Foundation.read(descriptor, $0 + count, size - count)
                }
                guard let more, more > 0 else {
                    failed = (more ?? 0) < 0
                    return  // it has shrunk since
                }
                count += more
            }
        }
        if failed { throw .conversation("\(shown) cannot be read (\(BundleFile.reason())); check the path.") }
        return bytes
    }

    /// Writes a file beside it, flushes that and renames it. Throws ``PocketVLError/conversation(_:)``.
    static func replace(_ file: URL, with parts: [[UInt8]]) throws(PocketVLError) {
        let partial = "\(file.path).\(UUID().uuidString).partial"
        func refused() -> PocketVLError {
            .conversation(
                "The conversation cannot be saved as \(file.path.shortenedPath) (\(BundleFile.reason())); check the path"
                    + " and the space there.")
        }
        let descriptor = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw refused() }
        let isWritten = parts.allSatisfy { write($0, to: descriptor) } && fsync(descriptor) == 0
        let error = isWritten ? nil : refused()
        close(descriptor)
        if let error {
            unlink(partial)
            throw error
        }
        if rename(partial, file.path) != 0 {
            let error = refused()
            unlink(partial)
            throw error
        }
    }

    private static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        bytes.withUnsafeBytes { buffer in
            var done = 0
            while done < buffer.count {
                guard let start = buffer.baseAddress else { return true }
                let count = Foundation.write(descriptor, start + done, buffer.count - done)
                if count <= 0 { return false }
                done += count
            }
            return true
        }
    }
}
