/// How warm the device counts as: fewer frames come first, then a pause.
public enum Warmth: Int, Sendable, Comparable, CaseIterable {
    case cool, warm, hot, veryHot
    /// Live answers stop until the device has cooled down.
    case tooHot

    public static func < (left: Warmth, right: Warmth) -> Bool { left.rawValue < right.rawValue }
}

/// From readings of the device's warmth to the pace of live answers.
///
/// The number of threads stays: Core ML takes none, and loading a model anew would warm the device more than it saves.
public enum ThermalPolicy {
    public static func warmth(_ thermal: Thermal) -> Warmth {
        switch thermal.state {
        case .nominal: thermal.isLowPower ? .warm : .cool
        case .fair: thermal.isLowPower ? .hot : .warm
        case .serious: thermal.isLowPower ? .veryHot : .hot
        case .critical: .tooHot
        }
    }

    /// Seconds from the start of one live answer to the next; nil for none at all.
    public static func frameInterval(_ warmth: Warmth) -> Double? {
        switch warmth {
        case .cool: 1
        case .warm: 2
        case .hot: 5
        case .veryHot: 10
        case .tooHot: nil
        }
    }
}

/// Follows the readings: up at once, down by one step after ``calm`` seconds that were cooler all along, so that the
/// pace does not swing with every reading.
public struct WarmthFollower: Sendable {
    /// Seconds.
    public static let calm = 30.0

    public private(set) var warmth = Warmth.cool
    private var coolerSince: Double?

    public init() {}

    /// `now`: seconds of a clock that never goes back. Returns the warmth that counts.
    public mutating func observe(_ thermal: Thermal, now: Double) -> Warmth {
        let read = ThermalPolicy.warmth(thermal)
        if read >= warmth {
            warmth = read
            coolerSince = nil
        } else if let since = coolerSince {
            if now - since >= Self.calm {
                warmth = Warmth(rawValue: warmth.rawValue - 1) ?? .cool
                coolerSince = now
            }
        } else {
            coolerSince = now
        }
        return warmth
    }
}
