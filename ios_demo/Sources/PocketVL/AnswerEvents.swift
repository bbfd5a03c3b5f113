import Foundation

/// The events of one answer; see ``ChatSession/ask(_:_:)-(Content,_)``.
///
/// Nothing happens until it is iterated, and iterating it twice asks twice. Whatever happens, the last event is
/// ``Event/completed(_:)`` or ``Event/failed(_:text:)``, exactly one of them, and comes when the model is free again.
/// Cancelling the task that iterates stops the answer before its next token; the last event still comes. Leaving the
/// loop, or dropping the iterator, stops it, too.
public struct AnswerEvents: AsyncSequence, Sendable {
    public typealias Element = Event

    /// Makes the answer: gets the queue that its events go into.
    private let start: @Sendable (EventQueue, Cancellation) async -> Void

    init(_ start: @escaping @Sendable (EventQueue, Cancellation) async -> Void) { self.start = start }

    public func makeAsyncIterator() -> Iterator { Iterator(subscription: Subscription(start)) }

    /// The answer itself; without text where it was cancelled before its first token. Throws what made it fail.
    ///
    /// - Parameter onText: is called with each piece of the text.
    public func answer(
        onText: @Sendable (String) async -> Void = { _ in }
    ) async throws(PocketVLError) -> Answer {
        for await event in self {
            switch event {
            case .started: break
            case .text(let piece): await onText(piece)
            case .completed(let answer): return answer
            case .failed(let error, _): throw error
            }
        }
        throw .engine("The answer ended without a last event; report this.")
    }

    /// For one task at a time.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
        fileprivate let subscription: Subscription

        /// The next event; nil after the last.
        public func next() async -> Event? { await subscription.next() }
    }

    /// One answer, for as long as somebody wants its events.
    fileprivate final class Subscription: @unchecked Sendable {
        private let queue = EventQueue()
        private let cancellation = Cancellation()
        private let start: @Sendable (EventQueue, Cancellation) async -> Void
        // Guarded by the lock.
        private let lock = NSLock()
        private var isStarted = false

        init(_ start: @escaping @Sendable (EventQueue, Cancellation) async -> Void) { self.start = start }

        deinit { cancellation.cancel() }

        func next() async -> Event? {
            await withTaskCancellationHandler {
                let isFirst = lock.withLock {
                    defer { isStarted = true }
                    return !isStarted
                }
                if isFirst { await start(queue, cancellation) }
                return await queue.next()
            } onCancel: {
                cancellation.cancel()
            }
        }
    }
}

/// Events on their way from the thread that makes an answer to the task that wants them.
///
/// It has no bound (an answer has so many tokens at most), so that the model is free once the answer is made, however
/// slow the reader is.
final class EventQueue: @unchecked Sendable {
    // Guarded by the lock.
    private let lock = NSLock()
    private var waiting: [Event] = []
    private var first = 0  // of those waiting that was not read
    private var reader: CheckedContinuation<Event?, Never>?
    private var isFinished = false

    /// What follows the last event is dropped.
    func push(_ event: Event) {
        if let reader = readerElseKeep(event) { reader.resume(returning: event) }
    }

    /// nil after the last, and for a second reader who waits.
    func next() async -> Event? {
        await withCheckedContinuation { continuation in
            switch takeElseWait(continuation) {
            case .found(let event): continuation.resume(returning: event)
            case .waits: break
            }
        }
    }

    private enum Taken {
        case found(Event?)
        case waits
    }

    /// Who waits for the event; nil where nobody does, or it is not wanted any more.
    private func readerElseKeep(_ event: Event) -> CheckedContinuation<Event?, Never>? {
        lock.lock()
        defer { lock.unlock() }
        if isFinished { return nil }
        isFinished = event.isLast
        if reader == nil {
            waiting.append(event)
            return nil
        }
        defer { reader = nil }
        return reader
    }

    private func takeElseWait(_ continuation: CheckedContinuation<Event?, Never>) -> Taken {
        lock.lock()
        defer { lock.unlock() }
        if first < waiting.count {
            let event = waiting[first]
            first += 1
            if first == waiting.count {
                waiting.removeAll(keepingCapacity: true)
                first = 0
            }
            return .found(event)
        }
        if isFinished || reader != nil { return .found(nil) }
        reader = continuation
        return .waits
    }
}
