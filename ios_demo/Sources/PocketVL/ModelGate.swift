import Foundation

/// Says who may use a model: one answer at a time, images beside it, and nothing after it was closed.
final class ModelGate: @unchecked Sendable {
    private let cache: KVCache
    // Guarded by the lock.
    private let lock = NSLock()
    private var isClosed = false
    private var encodings = 0
    private var last: KVCache.Claim?  // of a closed model, for ever

    init(_ cache: KVCache) { self.cache = cache }

    /// For whoever uses the text engine, until it is released. Throws ``PocketVLError/usage(_:)``.
    func claim() throws(PocketVLError) -> KVCache.Claim {
        lock.lock()
        defer { lock.unlock() }
        try checkOpenLocked()
        return try cache.claim()
    }

    /// Does what uses the vision encoder alone. Throws ``PocketVLError/usage(_:)``, and what `work` throws.
    func encoding<Value>(_ work: () throws(PocketVLError) -> Value) throws(PocketVLError) -> Value {
        try enter()
        defer { leave() }
        return try work()
    }

    /// Throws ``PocketVLError/usage(_:)`` once closed.
    func checkOpen() throws(PocketVLError) {
        lock.lock()
        defer { lock.unlock() }
        try checkOpenLocked()
    }

    /// Does `free` unless it was closed before. Throws ``PocketVLError/usage(_:)`` while anything runs.
    func close(_ free: () -> Void) throws(PocketVLError) {
        if try shut() { free() }
    }

    /// Whether it was open.
    private func shut() throws(PocketVLError) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        if isClosed { return false }
        if encodings > 0 {
            throw .usage("This model is encoding an image; wait for it, or close the live view first.")
        }
        last = try cache.claim()
        isClosed = true
        return true
    }

    private func checkOpenLocked() throws(PocketVLError) {
        if isClosed { throw .usage("This model is closed; load it again.") }
    }

    private func enter() throws(PocketVLError) {
        lock.lock()
        defer { lock.unlock() }
        try checkOpenLocked()
        encodings += 1
    }

    private func leave() { lock.withLock { encodings -= 1 } }
}
