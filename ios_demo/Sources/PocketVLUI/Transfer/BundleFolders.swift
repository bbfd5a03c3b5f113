import Foundation
import PocketVL

/// Folders of bundles in one folder. What begins with a dot is work in progress: a bundle gets its name when all of it
/// is there.
public struct BundleFolders: Sendable {
    let folder: URL

    private static let copying = ".copying-"
    private static let deleting = ".deleting-"
    private static let longestName = 64
    /// Bytes of storage that stay for the app's own files.
    private static let reserve = 64 << 20

    public init(folder: URL) { self.folder = folder }

    /// By name. Whoever put them there, none of them is backed up from now on.
    public func list() -> [InstalledBundle] {
        let bundles = contents().filter(Self.isBundle)
        bundles.forEach(Self.excludeFromBackup)
        return bundles.sorted { $0.lastPathComponent < $1.lastPathComponent }
            .map { InstalledBundle(folder: $0, bytes: Self.bytes(in: $0)) }
    }

    /// Throws ``PocketVL/PocketVLError/bundle(_:)`` where a file of it stays.
    public func delete(_ bundle: URL) throws {
        let parent = bundle.deletingLastPathComponent().standardizedFileURL.path
        guard parent == folder.standardizedFileURL.path, Self.isBundle(bundle) else {
            throw PocketVLError.bundle("\(bundle.path) is no bundle in \(folder.path), so it was not deleted.")
        }
        let doomed = folder.appendingPathComponent(Self.deleting + bundle.lastPathComponent)
        try? FileManager.default.removeItem(at: doomed)
        do {
            try FileManager.default.moveItem(at: bundle, to: doomed)
            try FileManager.default.removeItem(at: doomed)
        } catch {
            throw PocketVLError.bundle("\(bundle.path) cannot be deleted (\(error.localizedDescription)).")
        }
    }

    /// Removes what copies and deletions that were interrupted have left, but no downloads, which can go on.
    public func removeLeftovers() {
        for left in contents() where [Self.copying, Self.deleting].contains(where: left.lastPathComponent.hasPrefix) {
            try? FileManager.default.removeItem(at: left)
        }
    }

    /// Throws ``PocketVL/PocketVLError/bundle(_:)`` unless `bytes` fit into `free`, with room left for the app's own
    /// files.
    func requireSpace(_ bytes: Int, free: Int) throws {
        if bytes > free - Self.reserve {
            throw PocketVLError.bundle(
                "The bundle needs \(Self.megabytes(bytes)) MB of free storage, and \(Self.megabytes(Self.reserve)) MB"
                    + " for the app, but there are \(Self.megabytes(max(free, 0))) MB; delete other files or bundles"
                    + " first.")
        }
    }

    /// An empty folder to fill, under a name that ``list()`` does not show.
    func begin(_ name: String) throws -> URL {
        let begun = folder.appendingPathComponent(Self.copying + Self.fileName(name))
        try? FileManager.default.removeItem(at: begun)
        return try make(begun)
    }

    /// A folder for a download, the same whenever it goes on.
    func resume(_ key: String) throws -> URL { try make(folder.appendingPathComponent(".download-\(key)")) }

    /// Moves the filled folder into place under `name`, or that with a number where it is taken, in one step.
    func finish(_ filled: URL, _ name: String) throws {
        let wanted = Self.fileName(name)
        var target = folder.appendingPathComponent(wanted)
        var number = 2
        while FileManager.default.fileExists(atPath: target.path) {
            target = folder.appendingPathComponent("\(wanted)-\(number)")
            number += 1
        }
        do {
            try FileManager.default.moveItem(at: filled, to: target)
        } catch {
            throw PocketVLError.bundle("\(filled.path) cannot be moved to \(target.path); is the storage full?")
        }
    }

    /// A name that every file system takes and that is no hidden one.
    static func fileName(_ name: String) -> String {
        let letters = String(name.map { $0.isLetter || $0.isNumber || "-_.".contains($0) ? $0 : "-" })
        let trimmed = letters.trimmingCharacters(in: CharacterSet(charactersIn: ".-")).prefix(longestName)
        return trimmed.isEmpty ? "bundle" : String(trimmed)
    }

    /// Of all files in a folder.
    static func bytes(in folder: URL) -> Int {
        let keys: Set<URLResourceKey> = [.fileSizeKey, .isRegularFileKey]
        let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: Array(keys))
        var sum = 0
        while let file = files?.nextObject() as? URL {
            guard let values = try? file.resourceValues(forKeys: keys), values.isRegularFile == true else { continue }
            sum += values.fileSize ?? 0
        }
        return sum
    }

    private func make(_ folder: URL) throws -> URL {
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            return folder
        } catch {
            throw PocketVLError.bundle("The folder \(folder.path) cannot be made; is the storage full?")
        }
    }

    private func contents() -> [URL] {
        (try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)) ?? []
    }

    private static func isBundle(_ folder: URL) -> Bool {
        let manifest = folder.appendingPathComponent(Names.manifestFile).path
        return !folder.lastPathComponent.hasPrefix(".") && FileManager.default.fileExists(atPath: manifest)
    }

    private static func megabytes(_ bytes: Int) -> Int { (bytes + 999_999) / 1_000_000 }

    /// Gigabytes that can be had again do not belong into the user's backup.
    private static func excludeFromBackup(_ folder: URL) {
        #if canImport(Darwin)
            var values = URLResourceValues()
            values.isExcludedFromBackup = true
            var folder = folder
            try? folder.setResourceValues(values)
        #endif
    }
}
