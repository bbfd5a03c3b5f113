import PocketVL

/// What the live screen is doing.
public enum LivePhase: Sendable, Equatable {
    case off
    /// No model is ready yet, or another screen still uses it.
    case waiting
    /// Until the device is held still.
    case moving
    /// Until something else is seen.
    case same
    /// Until the time between two answers is over.
    case resting
    case answering
    /// Until the device has cooled down.
    case tooHot
}

/// All that the live screen shows beside the camera's preview.
public struct LiveState: Sendable, Equatable {
    public internal(set) var question = ""
    public internal(set) var phase = LivePhase.off
    public internal(set) var answer = ""
    /// Whether ``answer`` is of an earlier frame than the one that is being answered.
    public internal(set) var isOld = false
    public internal(set) var statistics: Statistics?
    public internal(set) var warmth = Warmth.cool
    /// Why it was switched off, or why the last answer failed.
    public internal(set) var message: String?

    public var isOn: Bool { phase != .off }
    public var canStart: Bool { !isOn && !question.allSatisfy(\.isWhitespace) }
}
