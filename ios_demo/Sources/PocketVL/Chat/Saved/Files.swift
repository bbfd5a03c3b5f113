import Foundation

/// A file that is read from its beginning to its end, and hashed meanwhile.
final class HashedFile {
    /// Bytes, as it was when it was opened.
    let size: Int
    /// Bytes that were not read.
    private(set) var left: Int
    private let descriptor: Int32
    private let path: String
    private var digest = Digest()

    /// Throws ``PocketVLError/conversation(_:)`` unless it is a regular file of at most `most` bytes: pipes and devices
    /// may never end.
    init(_ path: String, most: Int) throws(PocketVLError) {
        let shown = path.shortenedPath
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno == ENOENT || errno == ENOTDIR {
                throw .conversation("\(shown) does not exist; check the path.")
            }
            throw .conversation("\(shown) cannot be read (\(BundleFile.reason())); check the path.")
        }
        do {
            size = try Self.size(descriptor, shown, most: most)
        } catch {
            close(descriptor)
            throw error
        }
        left = size
        self.descriptor = descriptor
        self.path = path
    }

    deinit { close(descriptor) }

    /// The next bytes; nil where the file has shrunk since it was opened, or has not as many.
    func read(_ count: Int) throws(PocketVLError) -> [UInt8]? {
        guard let bytes = try unhashed(count) else { return nil }
        bytes.withUnsafeBytes { digest.update($0) }
        return bytes
    }

    /// Whether the last `count` bytes are the hash of all before them, of which the rest is read.
    func endsWithItsHash(_ count: Int) throws(PocketVLError) -> Bool {
        while left > count {
            if try read(min(left - count, 1 << 20)) == nil { return false }
        }
        return try unhashed(count) == digest.bytes()
    }

    private func unhashed(_ count: Int) throws(PocketVLError) -> [UInt8]? {
        if count > left { return nil }
        var last = 1
        let descriptor = descriptor
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, done in
            while done < count, last > 0, let start = buffer.baseAddress {
                last = Foundation.read(descriptor, start + done, count - done)
                done += max(0, last)
            }
        }
        if last < 0 {
            throw .conversation("\(path.shortenedPath) cannot be read (\(BundleFile.reason())); check the path.")
        }
        left -= bytes.count
        return bytes.count == count ? bytes : nil
    }

    private static func size(_ descriptor: Int32, _ shown: String, most: Int) throws(PocketVLError) -> Int {
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
        return size
    }
}

/// A file of an app's own that is replaced at once or not at all.
enum ReplacedFile {
    /// Writes a file beside it, flushes that and renames it. Throws ``PocketVLError/conversation(_:)``.
    static func write(_ file: URL, _ parts: [[UInt8]]) throws(PocketVLError) {
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
