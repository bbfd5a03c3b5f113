import Foundation

/// When the bytes of a bundle's files are compared with its manifest.
public enum Verify: Sendable {
    /// The first time, and after each change of a file, as far as a file of stamps remembers.
    case stamp
    /// Every time, also those optional files that are there.
    case always
    /// Not at all: for bundles whose bytes something else vouches for, since native code can crash or answer wrongly
    /// over a damaged file.
    case never
}

/// Whether a bundle's files are the bytes that its manifest was written for.
struct Verification {
    let folder: URL
    let stamps: URL?
    /// Bytes hashed so far, and in all; from any thread, one call at a time.
    let onProgress: @Sendable (Int, Int) -> Void

    private static let chunk = 1 << 20  // bytes

    /// Compares the SHA-256 of files that are known to be there with their records. Throws
    /// ``PocketVLError/bundle(_:)``.
    func run(_ records: [FileRecord], _ verify: Verify) throws(PocketVLError) {
        if verify == .never { return }
        let remembered = verify == .stamp ? Stamps.read(stamps) : [:]
        let unknown = records.filter { record in
            guard let stamp = remembered[record.path] else { return true }
            return stamp != Stamp.now(of: path(record), sha256: record.sha256)
        }
        if unknown.isEmpty { return }
        let found = try hashAll(unknown.sorted { $0.size > $1.size })
        let listed = Set(records.map(\.path))
        var kept = remembered.filter { listed.contains($0.key) && found[$0.key] == nil }
        for (path, stamp) in found { kept[path] = stamp }
        if kept != remembered { Stamps.write(kept, to: stamps) }
    }

    /// The stamps of all files, nil for one that was written just now.
    private func hashAll(_ records: [FileRecord]) throws(PocketVLError) -> [String: Stamp?] {
        let work = HashWork(records, total: records.map(\.size).reduce(0, Saturating.sum), onProgress)
        DispatchQueue.concurrentPerform(iterations: records.count) { index in
            guard !work.hasFailed else { return }
            do throws(PocketVLError) {
                work.finish(index, with: try checked(records[index], work))
            } catch {
                work.fail(error)
            }
        }
        return try work.stamps()
    }

    private func checked(_ record: FileRecord, _ work: HashWork) throws(PocketVLError) -> Stamp? {
        let path = path(record)
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unreadable(path) }
        defer { close(descriptor) }
        var status = stat()
        // Of before reading: a write meanwhile leaves a stamp that does not fit.
        guard fstat(descriptor, &status) == 0 else { throw unreadable(path) }
        let stamp = Stamp.settled(status, sha256: record.sha256)
        var digest = Digest()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.chunk, alignment: 16)
        defer { buffer.deallocate() }
        while !work.hasFailed {
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            guard count >= 0 else { throw unreadable(path) }
            if count == 0 { break }
            digest.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            work.add(count)
        }
        if work.hasFailed { return nil }
        let found = digest.hex()
        guard found.isExactly(record.sha256) else {
            throw .bundle(
                "\(path) is damaged or from another bundle: it has the sha256 \(found), but the manifest says"
                    + " \(record.sha256); copy the bundle again or export it again.")
        }
        return stamp
    }

    private func path(_ record: FileRecord) -> String { folder.appendingPathComponent(record.path).path }

    private func unreadable(_ path: String) -> PocketVLError {
        .bundle("\(path) cannot be read (\(BundleFile.reason())); copy the bundle again.")
    }
}

/// What several threads found so far. Everything is guarded by the lock.
private final class HashWork: @unchecked Sendable {
    private let lock = NSLock()
    private let records: [FileRecord]
    private let total: Int
    private let onProgress: @Sendable (Int, Int) -> Void
    private var hashed = 0
    private var found: [String: Stamp?] = [:]
    private var failure: PocketVLError?

    init(_ records: [FileRecord], total: Int, _ onProgress: @escaping @Sendable (Int, Int) -> Void) {
        self.records = records
        self.total = total
        self.onProgress = onProgress
    }

    /// After a difference the rest need not be read.
    var hasFailed: Bool { lock.withLock { failure != nil } }

    func add(_ bytes: Int) {
        lock.withLock {
            hashed += bytes
            onProgress(hashed, total)
        }
    }

    func finish(_ index: Int, with stamp: Stamp?) { lock.withLock { found[records[index].path] = .some(stamp) } }

    func fail(_ error: PocketVLError) { lock.withLock { failure = failure ?? error } }

    func stamps() throws(PocketVLError) -> [String: Stamp?] {
        let (failure, found) = lock.withLock { (self.failure, self.found) }
        if let failure { throw failure }
        return found
    }
}
