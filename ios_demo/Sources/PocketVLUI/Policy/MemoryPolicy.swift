import PocketVL

/// What answering takes, in bytes, known before anything is loaded.
public struct MemoryNeed: Sendable, Equatable {
    public let weights: Int
    public let vision: Int
    public let cache: Int
    public let working: Int

    public var total: Int { weights + vision + cache + working }
}

/// Whether a bundle goes into the memory that the process may have.
public enum MemoryVerdict: Sendable, Equatable {
    case fits
    /// More than is left now: the system may end the app.
    case tight
    /// More than the process may ever have, or the device has at all.
    case tooLarge
}

/// What is given back, each step with those before it; what was given back is loaded again when needed.
public enum Release: Int, Sendable, Comparable, CaseIterable {
    case nothing
    /// The vision encoder.
    case vision
    /// And the embeddings of images that were seen before.
    case cache
    /// And the decoder with its keys and values: the next question feeds the conversation again.
    case weights

    public static func < (left: Release, right: Release) -> Bool { left.rawValue < right.rawValue }
}

/// What the system says of memory.
public enum MemoryEvent: Sendable, CaseIterable {
    case enteredBackground
    /// UIApplication.didReceiveMemoryWarningNotification, or a memory pressure source's warning.
    case warning
    /// The same while the app is in the background.
    case warningInBackground
    /// A memory pressure source's last word.
    case critical
}

/// When memory is given back, and when the user is warned before it is taken.
public enum MemoryPolicy {
    private static let floatBytes = 4
    /// The runtime's own code and buffers, logits and the app.
    private static let workingBytes = 150_000_000
    /// Left to the process, below which a warning gives back more than the vision encoder.
    private static let roomForCache = 500_000_000
    private static let roomForWeights = 150_000_000

    /// An upper bound: the vision encoder and the decoder are both loaded from the second image on, and the system does
    /// not count mapped weights that nothing has changed.
    ///
    /// Weights are the bundle's files that are not the vision encoder's; the cache holds keys and values of float32 for
    /// the whole context; the largest image has, per patch, its pixels, eight rows of the encoder's width and two of
    /// its hidden layer alive at one time.
    public static func need(_ manifest: Manifest) -> MemoryNeed {
        let isVision = { (record: FileRecord) in record.path.contains(Names.visionEncoder) }
        let (text, vision) = (manifest.geometry.text, manifest.geometry.vision)
        let tokenBytes = 2 * text.numLayers * text.numKvHeads * text.headDim * floatBytes
        let patchBytes = (vision.patchDim + 8 * vision.hiddenSize + 2 * vision.intermediateSize) * floatBytes
        return MemoryNeed(
            weights: manifest.files.filter { !isVision($0) }.map(\.size).reduce(0, +),
            vision: manifest.files.filter(isVision).map(\.size).reduce(0, +)
                + (manifest.buckets.max() ?? 0) * patchBytes,
            cache: manifest.maxContext * tokenBytes,
            working: workingBytes)
    }

    public static func verdict(_ need: MemoryNeed, _ memory: Memory) -> MemoryVerdict {
        // The limit of a process is its own: other apps that are closed do not raise it.
        let limit = min(memory.total, memory.available + memory.process)
        if need.total > limit { return .tooLarge }
        return need.total > memory.available ? .tight : .fits
    }

    /// In the background a process with the weights loaded is among the first that the system ends; in front, as much
    /// as is left decides.
    public static func release(on event: MemoryEvent, available: Int) -> Release {
        switch event {
        case .enteredBackground: .vision
        case .warningInBackground, .critical: .weights
        case .warning where available < roomForWeights: .weights
        case .warning where available < roomForCache: .cache
        case .warning: .vision
        }
    }
}
