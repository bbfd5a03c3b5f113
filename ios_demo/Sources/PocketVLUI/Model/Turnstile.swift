/// Lets one task through at a time, in the order in which they came.
@MainActor
final class Turnstile {
    private var isHeld = false
    private var waiting: [(ticket: Int, pass: CheckedContinuation<Bool, Never>)] = []
    private var lastTicket = 0

    /// Runs `body` when nobody else is inside. Throws `CancellationError` to a task that is cancelled while it waits.
    func pass<Value>(_ body: @MainActor () async throws -> Value) async throws -> Value {
        try await enter()
        defer { leave() }
        return try await body()
    }

    /// Whether nobody was inside; then the caller is, and has to ``leave()``.
    func tryEnter() -> Bool {
        if isHeld { return false }
        isHeld = true
        return true
    }

    /// As ``pass(_:)``, also for a task that is cancelled: what it does must be done.
    func passAnyway(_ body: @MainActor () async throws -> Void) async rethrows {
        if !tryEnter() {
            lastTicket += 1
            let ticket = lastTicket
            _ = await withCheckedContinuation { waiting.append((ticket, $0)) }
        }
        defer { leave() }
        try await body()
    }

    func leave() {
        if waiting.isEmpty {
            isHeld = false
        } else {
            waiting.removeFirst().pass.resume(returning: true)
        }
    }

    private func enter() async throws {
        try Task.checkCancellation()
        if tryEnter() { return }
        lastTicket += 1
        let ticket = lastTicket
        let isIn = await withTaskCancellationHandler {
            await withCheckedContinuation { waiting.append((ticket, $0)) }
        } onCancel: {
            Task { @MainActor in self.giveUp(ticket) }
        }
        if !isIn { throw CancellationError() }
        if Task.isCancelled {
            leave()
            throw CancellationError()
        }
    }

    private func giveUp(_ ticket: Int) {
        guard let index = waiting.firstIndex(where: { $0.ticket == ticket }) else { return }
        waiting.remove(at: index).pass.resume(returning: false)
    }
}
