import Foundation

/// One question in progress: what the caller asked for, and what it took so far. For the thread that answers.
final class Turn {
    let chooser: Chooser
    let maxTokens: Int
    let stop: StopStrings
    /// Those that the caller names; nil if it names none.
    let tools: ToolSet?
    let lookup: Bool
    private let cancellation: Cancellation

    /// Of all but the times of tokens, which ``tokenDone(_:)`` keeps.
    var taken = Statistics()
    private(set) var logprobs: [Logprobs] = []
    private var tokens = 0
    private let began: Stopwatch
    private var firstSeconds = 0.0
    private var lastSeconds = 0.0

    init(
        _ chooser: Chooser, maxTokens: Int, stop: StopStrings, tools: ToolSet?, lookup: Bool,
        _ cancellation: Cancellation
    ) {
        self.chooser = chooser
        self.maxTokens = maxTokens
        self.stop = stop
        self.tools = tools
        self.lookup = lookup
        self.cancellation = cancellation
        began = Stopwatch()
    }

    var isCancelled: Bool { cancellation.isCancelled }

    /// Call once per token, when it is known.
    func tokenDone(_ choice: Choice) {
        if let noted = choice.logprobs { logprobs.append(noted) }
        lastSeconds = began.seconds
        if tokens == 0 { firstSeconds = lastSeconds }
        tokens += 1
    }

    func statistics() -> Statistics {
        var statistics = taken
        statistics.decodeSeconds = lastSeconds - firstSeconds
        statistics.decodeTokens = max(tokens - 1, 0)
        statistics.timeToFirstToken = firstSeconds
        return statistics
    }
}

/// Runs from when it is made.
struct Stopwatch {
    private let began = DispatchTime.now().uptimeNanoseconds

    var seconds: Double { Double(DispatchTime.now().uptimeNanoseconds - began) / 1e9 }
}
