/// From a bundle that lies on the device to one that answers.
public enum ModelState: Sendable, Equatable {
    case notChosen
    /// It is there; nobody has looked into it.
    case downloaded(InstalledBundle)
    /// `done` of `total` bytes are hashed.
    case verifying(InstalledBundle, done: Int, total: Int)
    /// Waits for ``ModelHolder/loadAnyway()`` or another choice.
    case lowMemory(InstalledBundle, MemoryNeed, Memory, MemoryVerdict)
    /// Core ML packages become the form that the system loads, fitted to this device: once, for minutes.
    case compiling(InstalledBundle)
    /// `isFirst`: under this version of the system; later loads take seconds.
    case loading(InstalledBundle, isFirst: Bool)
    case ready(InstalledBundle)
    /// The message is a sentence for the user.
    case failed(InstalledBundle, message: String)

    /// The bundle that the state is about.
    public var bundle: InstalledBundle? {
        switch self {
        case .notChosen: nil
        case .downloaded(let bundle), .verifying(let bundle, _, _), .lowMemory(let bundle, _, _, _),
            .compiling(let bundle), .loading(let bundle, _), .ready(let bundle), .failed(let bundle, _):
            bundle
        }
    }

    public var isReady: Bool { if case .ready = self { true } else { false } }

    /// Whether something is going on that can be cancelled.
    public var isLoading: Bool {
        switch self {
        case .verifying, .lowMemory, .compiling, .loading: true
        case .notChosen, .downloaded, .ready, .failed: false
        }
    }
}
