import Foundation

/// The newest frame of a ``LiveView``, encoded on a thread of its own; frames that come too fast replace each other.
final class NewestFrame: @unchecked Sendable {
    private static let pause: TimeInterval = 0.02  // between looks at whether an answer was cancelled

    let options: LiveOptions
    private let encode: @Sendable (any ImageSource) throws(PocketVLError) -> EncodedImage
    private let thread = WorkerThread(name: "pocketvl live view")
    // Guarded by the condition.
    private let condition = NSCondition()
    private var waiting: (any ImageSource)?
    private var seen: EncodedImage?
    private var previous: Thumbnail?
    private var failure: PocketVLError?
    private var isNew = false
    private var isBusy = false
    private var isClosed = false
    private var counted = FrameCounts()
    private var asked: [LiveTurn] = []

    /// Throws ``PocketVLError/usage(_:)`` for options that cannot be meant.
    init(
        _ options: LiveOptions, _ encode: @escaping @Sendable (any ImageSource) throws(PocketVLError) -> EncodedImage
    ) throws(PocketVLError) {
        if options.maxFrames < 1 || options.maxTurns ?? 0 < 0 {
            throw .usage("maxFrames must be at least 1, and maxTurns not negative.")
        }
        self.options = options
        self.encode = encode
    }

    var counts: FrameCounts { locked { counted } }
    var isIdle: Bool { locked { !isBusy } }
    var isOpen: Bool { locked { !isClosed } }

    /// Those that were answered, with their frames.
    var turns: [LiveTurn] {
        get { locked { asked } }
        set { locked { asked = newValue } }
    }

    func see(_ frame: any ImageSource) throws(PocketVLError) {
        condition.lock()
        defer { condition.unlock() }
        if isClosed { throw .usage("This live view is closed; make a new one.") }
        counted.given += 1
        if waiting != nil { counted.replaced += 1 }
        waiting = frame
        if !isBusy {
            isBusy = true
            thread.submit { self.encodeWaiting() }
        }
    }

    /// Whether a frame is new; nil where that may still change. Throws what encoding the newest frame threw.
    func change() throws(PocketVLError) -> Bool? {
        condition.lock()
        defer { condition.unlock() }
        try throwFailure()
        if isClosed { return false }
        return isNew ? true : nil
    }

    /// For a question; waits for the first frame, so not in a task. nil if cancelled.
    func newest(_ cancellation: Cancellation) throws(PocketVLError) -> EncodedImage? {
        condition.lock()
        defer { condition.unlock() }
        if seen == nil && !isBusy && failure == nil {
            throw .usage("No frame was seen yet; call see() first.")
        }
        while seen == nil && failure == nil && !isClosed {
            if cancellation.isCancelled { return nil }
            _ = condition.wait(until: Date(timeIntervalSinceNow: Self.pause))
        }
        try throwFailure()
        isNew = false
        guard let seen else { throw .usage("This live view was closed before its first frame was encoded.") }
        return seen
    }

    func close() {
        locked {
            isClosed = true
            waiting = nil
            condition.broadcast()
        }
    }

    /// Locked by the caller.
    private func throwFailure() throws(PocketVLError) {
        if let thrown = failure {
            failure = nil
            throw thrown
        }
    }

    private func encodeWaiting() {
        while let frame = next() {
            let result = Result { () throws(PocketVLError) in try encodeChanged(frame) }
            locked {
                switch result {
                case .success(let encoded?):
                    failure = nil
                    seen = encoded
                    isNew = true
                    counted.encoded += 1
                case .success(nil):
                    failure = nil
                    counted.unchanged += 1
                case .failure(let error): failure = error
                }
                condition.broadcast()
            }
        }
    }

    private func next() -> (any ImageSource)? {
        locked {
            let frame = waiting
            waiting = nil
            isBusy = frame != nil
            condition.broadcast()
            return frame
        }
    }

    /// nil where the frame shows nothing else than the last one.
    private func encodeChanged(_ frame: any ImageSource) throws(PocketVLError) -> EncodedImage? {
        let image = try damageNamed(frame.name) { try frame.read(for: frame.readSize()).image }
        let small = Thumbnail(image)
        if let previous = locked({ previous }), !previous.hasChanged(small, least: options.leastChange) { return nil }
        let encoded = try encode(image)
        locked { previous = small }
        return encoded
    }

    private func locked<Value>(_ body: () -> Value) -> Value {
        condition.lock()
        defer { condition.unlock() }
        return body()
    }
}
