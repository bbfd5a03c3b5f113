import PocketVL

/// What the user reads of states.
public struct Sentences: Sendable {
    private let numbers: Numbers

    public init(_ numbers: Numbers = Numbers()) { self.numbers = numbers }

    public func model(_ state: ModelState) -> String {
        switch state {
        case .notChosen: return "No bundle is chosen."
        case .downloaded(let bundle): return "\(bundle.name) is on this device."
        case .verifying(let bundle, let done, let total):
            return "Checking the files of \(bundle.name): \(numbers.percent(done, of: total)) %"
        case .lowMemory(let bundle, let need, let memory, let verdict): return low(bundle, need, memory, verdict)
        case .compiling(let bundle):
            return "Preparing \(bundle.name) for this device, which can take some minutes. Later it is a matter of"
                + " seconds, until the system is updated."
        case .loading(let bundle, isFirst: false): return "Loading \(bundle.name) …"
        case .loading(let bundle, isFirst: true):
            return "Loading \(bundle.name) for the first time, which can take longer than later …"
        case .ready(let bundle): return "\(bundle.name) is ready."
        case .failed(_, let message): return message
        }
    }

    /// Nil for an answer that ended by itself.
    public func end(_ reason: StopReason) -> String? {
        switch reason {
        case .stop, .toolCalls: nil
        case .length: "The answer was cut off: it reached its longest length."
        case .context: "The answer was cut off: the conversation is full. Start a new chat."
        case .cancelled: "Stopped."
        case .repetition: "The answer was ended, since it repeated itself."
        }
    }

    public func phase(_ phase: LivePhase) -> String {
        switch phase {
        case .off: "Off"
        case .waiting: "Waiting for a bundle"
        case .moving: "Hold still"
        case .same: "Nothing has changed"
        case .resting: "Resting"
        case .answering: "Answering"
        case .tooHot: "Too hot: waiting until the device has cooled down"
        }
    }

    /// Nil while it is cool.
    public func warmth(_ warmth: Warmth) -> String? {
        switch warmth {
        case .cool: nil
        case .warm: "device is warm, fewer frames"
        case .hot: "device is hot, fewer frames"
        case .veryHot: "device is very hot, far fewer frames"
        case .tooHot: "device is too hot"
        }
    }

    public func work(_ work: Work) -> String {
        switch work {
        case .copying(let transfer): "Copying: \(self.transfer(transfer))"
        case .downloading(let transfer): "Downloading: \(self.transfer(transfer))"
        case .checking(let bundle, let done, let total):
            "Checking the files of \(bundle.name): \(numbers.percent(done, of: total)) %"
        case .deleting(let bundle): "Deleting \(bundle.name)"
        }
    }

    private func transfer(_ transfer: Transfer) -> String {
        let done = numbers.megabytes(transfer.done)
        return transfer.total.map { "\(done) of \(numbers.megabytes($0)) MB" } ?? "\(done) MB"
    }

    private func low(
        _ bundle: InstalledBundle, _ need: MemoryNeed, _ memory: Memory, _ verdict: MemoryVerdict
    ) -> String {
        let wanted = "\(bundle.name) needs up to \(numbers.gigabytes(need.total)) GB of memory"
        if verdict == .tooLarge {
            let limit = min(memory.total, memory.available + memory.process)
            return "\(wanted), more than the \(numbers.gigabytes(limit)) GB that this app may have on this device."
                + " Choose a smaller bundle, or load it anyway: the system may then end the app."
        }
        return "\(wanted), but \(numbers.gigabytes(memory.available)) GB are left to this app. Load it anyway? The"
            + " system may then end the app."
    }
}
