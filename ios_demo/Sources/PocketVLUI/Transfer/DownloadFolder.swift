import Foundation
import PocketVL

/// What of a bundle has been downloaded into a folder. No network: whoever has it asks ``missing``, fetches, and gives
/// what came to ``accept(_:status:for:)``.
///
/// Until the whole bundle is there a file's name holds its hash, so that what an interrupted download has left is used
/// only where it belongs to the same bytes, whatever the manifest says by then.
struct DownloadFolder: Sendable {
    let folder: URL
    let records: [FileRecord]

    /// Reads the manifest, which must have the hash that manifest.sha256 records, and writes both. Removes what belongs
    /// to an earlier manifest. Throws ``PocketVL/PocketVLError``.
    init(_ folder: URL, manifest: Data, recordedHash: Data) throws {
        self.folder = folder
        try manifest.write(to: folder.appendingPathComponent(Names.manifestFile), options: .atomic)
        try recordedHash.write(to: folder.appendingPathComponent(Names.manifestHashFile), options: .atomic)
        records = try ManifestFiles.read(in: folder)
        removeOthers()
    }

    /// A folder in which a download had begun.
    private init(resuming folder: URL) throws {
        self.folder = folder
        records = try ManifestFiles.read(in: folder)
    }

    var total: Int { records.map(\.size).reduce(0, +) }

    /// Bytes that need not be fetched any more.
    var present: Int { records.filter(isWhole).map(\.size).reduce(0, +) }

    var missing: [FileRecord] { records.filter { !isWhole($0) } }

    /// Keeps the system's notes on an interrupted transfer of this file. Without them it begins anew.
    func keep(_ notes: Data, for record: FileRecord) {
        let target = resumeFile(record)
        try? FileManager.default.createDirectory(
            at: target.deletingLastPathComponent(), withIntermediateDirectories: true)
        try? notes.write(to: target, options: .atomic)
    }

    /// What ``keep(_:for:)`` kept.
    func notes(_ record: FileRecord) -> Data? { try? Data(contentsOf: resumeFile(record)) }

    /// Takes a file that was fetched, if it is the one that the manifest means; it is moved or removed. Throws
    /// ``PocketVL/PocketVLError/bundle(_:)``.
    func accept(_ fetched: URL, status: Int, for record: FileRecord) throws {
        defer { try? FileManager.default.removeItem(at: fetched) }
        try? FileManager.default.removeItem(at: resumeFile(record))
        guard status == 200 || status == 206 else {
            throw PocketVLError.bundle(
                status == 404 || status == 410
                    ? "\(record.path) is not there (status \(status)); is the address that of a bundle's folder?"
                    : "The server does not give \(record.path) (status \(status)); try again later.")
        }
        guard try sha256(ofFile: fetched) == record.sha256 else {
            throw PocketVLError.bundle(
                "\(record.path) does not have the sha256 that its manifest says; the bundle there is damaged or mixed.")
        }
        do {
            let target = file(record, "whole")
            try FileManager.default.createDirectory(
                at: target.deletingLastPathComponent(), withIntermediateDirectories: true)
            try? FileManager.default.removeItem(at: target)
            try FileManager.default.moveItem(at: fetched, to: target)
        } catch {
            throw PocketVLError.bundle("\(record.path) cannot be kept; is the storage full?")
        }
    }

    /// Of a transfer that may end when nobody waits for it; `key` is that of ``BundleFolders/resume(_:)``.
    static func transferName(_ key: String, _ record: FileRecord) -> String { "\(key) \(record.sha256)" }

    /// Takes a file whose transfer an earlier process of the app began. One that belongs to no download is removed.
    static func accept(_ fetched: URL, status: Int, named name: String, in folders: BundleFolders) throws {
        let parts = name.split(separator: " ").map(String.init)
        guard parts.count == 2 else { return try FileManager.default.removeItem(at: fetched) }
        let folder = try DownloadFolder(resuming: try folders.resume(parts[0]))
        guard let record = folder.missing.first(where: { $0.sha256 == parts[1] }) else {
            return try FileManager.default.removeItem(at: fetched)
        }
        try folder.accept(fetched, status: status, for: record)
    }

    /// Gives all files, which are whole, their names, and checks that they fit together.
    func settle() throws {
        for record in records {
            let whole = file(record, "whole")
            let target = folder.appendingPathComponent(record.path)
            // After a crash in between some have their names already.
            guard FileManager.default.fileExists(atPath: whole.path) else { continue }
            try? FileManager.default.removeItem(at: target)
            try FileManager.default.moveItem(at: whole, to: target)
        }
        removeOthers()
        _ = try ModelBundle.open(folder, verify: .never)  // the hashes are those of the manifest
    }

    private func resumeFile(_ record: FileRecord) -> URL { file(record, "resume") }

    private func isWhole(_ record: FileRecord) -> Bool {
        size(file(record, "whole")) == record.size || size(folder.appendingPathComponent(record.path)) == record.size
    }

    private func file(_ record: FileRecord, _ ending: String) -> URL {
        folder.appendingPathComponent("\(record.path).\(record.sha256.prefix(16)).\(ending)")
    }

    private func size(_ file: URL) -> Int? {
        (try? FileManager.default.attributesOfItem(atPath: file.path))?[.size].flatMap { ($0 as? NSNumber)?.intValue }
    }

    private func removeOthers() {
        var kept = Set([Names.manifestFile, Names.manifestHashFile].map(folder.appendingPathComponent).map(\.path))
        for record in records {
            kept.formUnion([file(record, "whole"), resumeFile(record)].map(\.path))
            kept.insert(folder.appendingPathComponent(record.path).path)
        }
        let paths = (try? FileManager.default.subpathsOfDirectory(atPath: folder.path)) ?? []
        for path in paths.map({ folder.appendingPathComponent($0) }) where !kept.contains(path.path) {
            var isFolder: ObjCBool = false
            _ = FileManager.default.fileExists(atPath: path.path, isDirectory: &isFolder)
            if !isFolder.boolValue { try? FileManager.default.removeItem(at: path) }
        }
    }
}
