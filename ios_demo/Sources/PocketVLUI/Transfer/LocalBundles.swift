import Foundation
import PocketVL

/// The bundles in one folder of the app's own.
public struct LocalBundles: BundleStore {
    private let folders: BundleFolders

    public init(_ folders: BundleFolders) { self.folders = folders }

    public func list() async throws -> [InstalledBundle] { folders.list() }

    public func freeBytes() async -> Int { Self.freeBytes(folders.folder) }

    public func delete(_ bundle: InstalledBundle) async throws { try folders.delete(bundle.folder) }

    public func copy(_ folder: URL) -> AsyncThrowingStream<Transfer, any Error> {
        let own = folders.folder
        return FolderCopy(folders) { Self.freeBytes(own) }.copy(folder)
    }

    static func freeBytes(_ folder: URL) -> Int {
        #if canImport(Darwin)
            // What the system would free for something that the user asked for counts, too.
            let values = try? folder.resourceValues(forKeys: [.volumeAvailableCapacityForImportantUsageKey])
            return values?.volumeAvailableCapacityForImportantUsage.map { Int(clamping: $0) } ?? 0
        #else
            let attributes = try? FileManager.default.attributesOfFileSystem(forPath: folder.path)
            return (attributes?[.systemFreeSize] as? NSNumber)?.intValue ?? 0
        #endif
    }
}
