/// How much is timed: `repeats` of each image size and of the prompt, `decodeTokens` single tokens.
public struct BenchmarkSettings: Sendable, Equatable {
    public var repeats: Int
    public var prefillTokens: Int
    public var decodeTokens: Int

    public init(repeats: Int = 3, prefillTokens: Int = 256, decodeTokens: Int = 32) {
        self.repeats = repeats
        self.prefillTokens = prefillTokens
        self.decodeTokens = decodeTokens
    }

    /// Half the context for the prompt at most, a quarter for the answer.
    func fitting(_ context: Int) -> BenchmarkSettings {
        BenchmarkSettings(
            repeats: repeats, prefillTokens: min(prefillTokens, max(1, context / 2)),
            decodeTokens: min(decodeTokens, max(1, context / 4)))
    }
}

/// Seconds of each run of one image size.
public struct VisionTimes: Sendable, Equatable {
    public let patches: Int
    /// That the decoder gets for so many patches.
    public let tokens: Int
    public let seconds: [Double]

    public var best: Double { seconds.min() ?? 0 }
}

/// Seconds of each run over a prompt of `tokens` tokens.
public struct PrefillTimes: Sendable, Equatable {
    public let tokens: Int
    public let seconds: [Double]

    /// Tokens a second, of the best run.
    public var rate: Double { Double(tokens) / (seconds.min() ?? .infinity) }
}

/// Seconds of each token behind the prompt, the head included.
public struct DecodeTimes: Sendable, Equatable {
    public let seconds: [Double]

    /// Tokens a second, by the median.
    public var rate: Double {
        let sorted = seconds.sorted()
        if sorted.isEmpty { return 0 }
        let middle = sorted.count / 2
        let median = sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
        return 1 / median
    }
}

/// Seconds. Loading is what the first run takes longer than the best of the others.
public struct Timings: Sendable, Equatable {
    public let visionLoad: Double
    public let decoderLoad: Double
    public let vision: [VisionTimes]
    public let prefill: PrefillTimes
    public let decode: DecodeTimes
}

/// What is being timed.
public enum Stage: Sendable, Equatable {
    case vision, prefill, decode
}

/// `done` of `total` runs of a stage.
public struct Step: Sendable, Equatable {
    public let stage: Stage
    public let done: Int
    public let total: Int
}
