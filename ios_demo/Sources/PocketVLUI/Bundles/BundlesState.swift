/// What the bundle screen is busy with, one thing at a time.
public enum Work: Sendable, Equatable {
    case copying(Transfer)
    case downloading(Transfer)
    /// `done` of `total` bytes are hashed.
    case checking(InstalledBundle, done: Int, total: Int)
    case deleting(InstalledBundle)
}

/// All that the bundle screen shows, beside the model's state.
public struct BundlesState: Sendable, Equatable {
    public internal(set) var bundles: [InstalledBundle] = []
    /// Paths of those whose hashes were all found equal since the app began.
    public internal(set) var sound: Set<String> = []
    public internal(set) var freeBytes: Int?
    public internal(set) var canDownload = false
    public internal(set) var work: Work?
    public internal(set) var message: String?
}
