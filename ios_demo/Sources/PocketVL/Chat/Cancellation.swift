import Foundation

/// Asked before each image, chunk and token of one answer; set from anywhere, for good.
final class Cancellation: @unchecked Sendable {
    private let lock = NSLock()
    private var wasSet = false  // guarded by the lock

    var isCancelled: Bool { lock.withLock { wasSet } }

    func cancel() { lock.withLock { wasSet = true } }
}
