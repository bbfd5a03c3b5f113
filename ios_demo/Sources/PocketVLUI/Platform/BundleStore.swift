import Foundation

/// A folder with a manifest.json, which nobody has verified yet.
public struct InstalledBundle: Sendable, Hashable, Identifiable {
    public let folder: URL
    /// Of all its files.
    public let bytes: Int

    public init(folder: URL, bytes: Int) {
        self.folder = folder
        self.bytes = bytes
    }

    public var name: String { folder.lastPathComponent }
    public var id: String { folder.path }
}

/// How far a copy or a download is, in bytes. `total` is nil until it is known.
public struct Transfer: Sendable, Equatable {
    public let done: Int
    public let total: Int?

    public init(done: Int, total: Int?) {
        self.done = done
        self.total = total
    }
}

/// The bundles on this device. Throws ``PocketVL/PocketVLError/bundle(_:)`` with a sentence for the user.
public protocol BundleStore: Sendable {
    /// By name; folders of copies that were interrupted are not among them.
    func list() async throws -> [InstalledBundle]

    /// Bytes that a copy or download can fill.
    func freeBytes() async -> Int

    /// Removes the folder and all that is in it.
    func delete(_ bundle: InstalledBundle) async throws

    /// Copies a folder that the user chose to the app's own files, since native runtimes map files by path. The stream
    /// ends when the whole folder is there; whoever drops it sooner leaves nothing behind.
    func copy(_ folder: URL) -> AsyncThrowingStream<Transfer, any Error>
}

/// Gets bundles from the network.
public protocol BundleDownloader: Sendable {
    /// The folder whose manifest.json is at `address`, resumed where a former download stopped. Space is checked
    /// before, hashes after; ends when the bundle can be opened. Throws ``PocketVL/PocketVLError/bundle(_:)``.
    func download(_ address: String) -> AsyncThrowingStream<Transfer, any Error>
}
