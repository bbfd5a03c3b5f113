import Foundation

/// Makes the engine of a bundle. `threads` are those of the runtime's pool; nil is the engine's own choice.
public typealias EngineFactory = @Sendable (_ bundle: ModelBundle, _ threads: Int?) throws(PocketVLError) -> Engine

/// How a bundle is opened.
public struct LoadOptions: Sendable {
    /// When hashes of the bundle's files are computed: each takes a second or so per gigabyte.
    public var verify: Verify
    /// The file in which is remembered what was found equal, for ``Verify/stamp``; in the app's own folder.
    public var stamps: URL?
    /// Of the engine's pool, at least 1; nil is its own choice.
    public var threads: Int?
    /// Bytes hashed so far, and in all; from any thread, one call at a time.
    public var onProgress: @Sendable (_ bytesHashed: Int, _ bytes: Int) -> Void

    public init(
        verify: Verify = .stamp, stamps: URL? = nil, threads: Int? = nil,
        onProgress: @escaping @Sendable (_ bytesHashed: Int, _ bytes: Int) -> Void = { _, _ in }
    ) {
        self.verify = verify
        self.stamps = stamps
        self.threads = threads
        self.onProgress = onProgress
    }
}
