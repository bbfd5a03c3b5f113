import Foundation

/// A thread on which blocking work is done, one piece after the other, away from the threads that tasks share.
///
/// It is started when there is work, and ends after half a minute without: a model that nobody closes leaves none
/// behind. A thread and no dispatch queue, for its stack: native runtimes want more than the half megabyte that those
/// give.
final class WorkerThread: @unchecked Sendable {
    private static let idle: TimeInterval = 30
    private static let stack = 8 << 20  // bytes

    private let name: String
    // Guarded by the condition.
    private let condition = NSCondition()
    private var waiting: [@Sendable () -> Void] = []
    private var isRunning = false

    init(name: String) { self.name = name }

    /// Does the work after all that was submitted before.
    func submit(_ work: @escaping @Sendable () -> Void) {
        condition.lock()
        defer { condition.unlock() }
        waiting.append(work)
        if isRunning {
            condition.signal()
            return
        }
        isRunning = true
        let thread = Thread { self.loop() }
        thread.name = name
        thread.stackSize = Self.stack
        thread.qualityOfService = .userInitiated  // somebody waits for the answer
        thread.start()
    }

    /// Does the work and waits for it.
    func run<Value: Sendable>(
        _ work: @escaping @Sendable () throws(PocketVLError) -> Value
    ) async throws(PocketVLError) -> Value {
        let result: Result<Value, PocketVLError> = await withCheckedContinuation { continuation in
            submit { continuation.resume(returning: Result(catching: work)) }
        }
        return try result.get()
    }

    private func loop() {
        while let work = next() {
            #if canImport(ObjectiveC)
                autoreleasepool { work() }
            #else
                work()
            #endif
        }
    }

    /// nil where the thread is to end.
    private func next() -> (@Sendable () -> Void)? {
        condition.lock()
        defer { condition.unlock() }
        let end = Date(timeIntervalSinceNow: Self.idle)
        while waiting.isEmpty {
            if !condition.wait(until: end) && waiting.isEmpty {
                isRunning = false
                return nil
            }
        }
        return waiting.removeFirst()
    }
}
