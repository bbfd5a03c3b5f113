import Foundation

/// A file, and the hash that it was found to have. Its change time changes with every write and cannot be set.
struct Stamp: Equatable {
    let device: Int64
    let inode: Int64
    /// Bytes.
    let size: Int64
    /// Nanoseconds since 1970, as the next.
    let modified: Int64
    let changed: Int64
    let sha256: String

    /// A file system may give the same time to all writes within so many nanoseconds (FAT: 2 s), so a file changed as
    /// recently as that could change once more and look the same.
    private static let recent: Int64 = 2_000_000_000

    init(_ status: stat, sha256: String) {
        #if canImport(Darwin)
            let (modified, changed) = (status.st_mtimespec, status.st_ctimespec)
        #else
            let (modified, changed) = (status.st_mtim, status.st_ctim)
        #endif
        device = Int64(truncatingIfNeeded: status.st_dev)
        inode = Int64(truncatingIfNeeded: status.st_ino)
        size = Int64(status.st_size)
        self.modified = Stamp.nanoseconds(modified)
        self.changed = Stamp.nanoseconds(changed)
        self.sha256 = sha256
    }

    /// nil for a file whose next write could have the same time.
    static func settled(_ status: stat, sha256: String) -> Stamp? {
        let stamp = Stamp(status, sha256: sha256)
        var now = timespec()
        guard clock_gettime(CLOCK_REALTIME, &now) == 0 else { return nil }
        let (age, overflows) = nanoseconds(now).subtractingReportingOverflow(stamp.changed)
        return overflows || age.magnitude > recent.magnitude ? stamp : nil
    }

    /// Of a file that can be seen now.
    static func now(of path: String, sha256: String) -> Stamp? {
        var status = stat()
        return stat(path, &status) == 0 ? Stamp(status, sha256: sha256) : nil
    }

    private static func nanoseconds(_ time: timespec) -> Int64 {
        Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
    }
}

/// What a bundle's files were when their hashes were last compared, remembered in a file of the app's own.
///
/// The file is replaced as a whole. One that cannot be read or written only costs the hashing again.
enum Stamps {
    private static let most = 1 << 20  // bytes

    /// By path inside the bundle; none where they cannot be read.
    static func read(_ file: URL?) -> [String: Stamp] {
        guard let file,
            let bytes = try? BundleFile.bytes(
                of: file.lastPathComponent, in: file.deletingLastPathComponent(), most: most),
            let members = try? JSON.parse(bytes: bytes).asObject?.members
        else { return [:] }
        var stamps: [String: Stamp] = [:]
        for member in members {
            guard let stamp = Stamp(member.value) else { return [:] }
            stamps[member.key] = stamp
        }
        return stamps
    }

    /// Remembers them instead of those before, if the file can be written.
    static func write(_ stamps: [String: Stamp], to file: URL?) {
        guard let file else { return }
        let members = stamps.map { ($0.key, $0.value.json) }.sorted { $0.0 < $1.0 }
        guard let text = JSON.object(JSONObject(members)).written() else { return }
        try? FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try? Data(text.utf8).write(to: file, options: .atomic)
    }
}

extension Stamp {
    fileprivate init?(_ value: JSON) {
        guard let fields = value.asArray, fields.count == 6, let hash = fields[5].asString else { return nil }
        let numbers = fields.prefix(5).compactMap(\.asInteger).map(Int64.init)
        guard numbers.count == 5 else { return nil }
        (device, inode, size, modified, changed) = (numbers[0], numbers[1], numbers[2], numbers[3], numbers[4])
        sha256 = hash
    }

    fileprivate var json: JSON {
        .array([device, inode, size, modified, changed].map(JSON.integer) + [.string(sha256)])
    }
}
