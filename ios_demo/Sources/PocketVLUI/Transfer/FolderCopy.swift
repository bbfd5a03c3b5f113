import Foundation
import PocketVL

/// Copies folders that the user chose into ``BundleFolders``, where native runtimes can map their files.
public struct FolderCopy: Sendable {
    private let folders: BundleFolders
    private let freeBytes: @Sendable () -> Int
    private static let buffer = 1 << 20

    /// `freeBytes`: what can be filled there.
    public init(_ folders: BundleFolders, freeBytes: @escaping @Sendable () -> Int) {
        self.folders = folders
        self.freeBytes = freeBytes
    }

    /// Ends when the whole folder is in place; whatever ends it sooner leaves nothing behind. Throws
    /// ``PocketVL/PocketVLError/bundle(_:)``.
    public func copy(_ source: URL) -> AsyncThrowingStream<Transfer, any Error> {
        AsyncThrowingStream(bufferingPolicy: .bufferingNewest(1)) { continuation in
            let work = Task.detached {
                do {
                    try run(source) { continuation.yield($0) }
                    continuation.finish()
                } catch {
                    continuation.finish(throwing: error)
                }
            }
            continuation.onTermination = { _ in work.cancel() }
        }
    }

    private func run(_ source: URL, _ report: (Transfer) -> Void) throws {
        let name = source.lastPathComponent
        guard FileManager.default.fileExists(atPath: source.appendingPathComponent(Names.manifestFile).path) else {
            throw PocketVLError.bundle(
                "The folder \(name) has no \(Names.manifestFile); choose the folder that `pocketvl export` wrote.")
        }
        let files = try Self.files(in: source)
        let total = files.map(\.bytes).reduce(0, +)
        try folders.requireSpace(total, free: freeBytes())
        let begun = try folders.begin(name)
        defer { try? FileManager.default.removeItem(at: begun) }  // nothing where it was moved into place
        var done = 0
        report(Transfer(done: 0, total: total))
        for file in files {
            do {
                try copy(source.appendingPathComponent(file.path), to: begun.appendingPathComponent(file.path)) {
                    done += $0
                    report(Transfer(done: done, total: max(done, total)))
                }
            } catch let error as CancellationError {
                throw error
            } catch {
                throw PocketVLError.bundle(
                    "\(file.path) of \(name) cannot be copied (\(error.localizedDescription)); is its storage still"
                        + " there?")
            }
        }
        try Task.checkCancellation()
        try folders.finish(begun, name)
    }

    private func copy(_ source: URL, to target: URL, _ report: (Int) -> Void) throws {
        try FileManager.default.createDirectory(
            at: target.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data().write(to: target)
        let (input, output) = (try FileHandle(forReadingFrom: source), try FileHandle(forWritingTo: target))
        defer {
            try? input.close()
            try? output.close()
        }
        while let data = try input.read(upToCount: Self.buffer), !data.isEmpty {
            try Task.checkCancellation()
            try output.write(contentsOf: data)
            report(data.count)
        }
        try output.synchronize()  // a name that is there after a crash must not stand for half a file
    }

    /// Paths relative to the folder. A link could lead out of it, so that there may be none.
    private static func files(in folder: URL) throws -> [(path: String, bytes: Int)] {
        var found: [(path: String, bytes: Int)] = []
        func look(_ inner: String) throws {
            let here = inner.isEmpty ? folder : folder.appendingPathComponent(inner)
            for name in try FileManager.default.contentsOfDirectory(atPath: here.path).sorted() {
                let path = inner.isEmpty ? name : "\(inner)/\(name)"
                let attributes = try FileManager.default.attributesOfItem(
                    atPath: folder.appendingPathComponent(path).path)
                switch attributes[.type] as? FileAttributeType {
                case .typeDirectory?: try look(path)
                case .typeRegular?: found.append((path, (attributes[.size] as? NSNumber)?.intValue ?? 0))
                default:
                    throw PocketVLError.bundle("\(path) of the folder \(folder.lastPathComponent) is no regular file.")
                }
            }
        }
        try look("")
        return found
    }
}
