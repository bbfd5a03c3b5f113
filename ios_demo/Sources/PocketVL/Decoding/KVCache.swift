import Foundation

/// What the KV slots of a text engine hold, so that no conversation goes on over another one's keys: token ids, media
/// keys and the rope position after each slot.
///
/// An engine has one for life. Its decode truncates to the slot it writes at, whoever calls it; the caller that knows
/// what was written appends it. So contents are never claimed that are not there.
public final class KVCache: @unchecked Sendable {
    // All of these are guarded by the lock.
    private let lock = NSLock()
    private var held: [Slot] = []
    private var nextPositions: [Int] = []  // after each slot
    private var isInUse = false

    public init() {}

    /// Slots that hold something.
    public var count: Int { lock.withLock { held.count } }

    public var slots: [Slot] { lock.withLock { held } }

    /// Rope position of the token after the last slot; not the number of slots.
    public var nextPosition: Int { lock.withLock { nextPositions.last ?? 0 } }

    /// Forgets slots from `length` on.
    public func truncate(_ length: Int) {
        lock.withLock {
            let surplus = held.count - max(0, length)
            if surplus > 0 {
                held.removeLast(surplus)
                nextPositions.removeLast(surplus)
            }
        }
    }

    /// Says what the next slots hold. All three have S entries; what one has more than another is left out.
    public func append(tokenIDs: [Int], mediaKeys: [String?], positions: PositionIDs) {
        lock.withLock {
            var reached = nextPositions.last ?? 0
            for (index, (token, key)) in zip(tokenIDs, mediaKeys).enumerated() where index < positions.count {
                reached = max(reached, positions.largest(of: index) + 1)
                held.append(Slot(token, key))
                nextPositions.append(reached)
            }
        }
    }

    /// Says that the next slot holds a token of text, at the next rope position.
    func append(_ token: Int) {
        lock.withLock {
            held.append(Slot(token))
            nextPositions.append((nextPositions.last ?? 0) + 1)
        }
    }

    /// How many of the first slots hold what `feed` begins with.
    public func commonPrefix(_ feed: Feed) -> Int { Prefix.common(held: slots, wanted: feed.slots) }

    /// Which slots can stay for `feed`.
    public func plan(_ feed: Feed) -> Prefix { Prefix.plan(held: slots, wanted: feed.slots) }

    /// Is held by whoever answers, until the claim is released or dropped. Throws ``PocketVLError/usage(_:)`` where
    /// another one holds it.
    public func claim() throws(PocketVLError) -> Claim {
        let isFree = lock.withLock {
            defer { isInUse = true }
            return !isInUse
        }
        if !isFree { throw .usage("This engine is answering already; wait for it, or cancel it.") }
        return Claim(self)
    }

    private func unclaim() { lock.withLock { isInUse = false } }

    /// The right to use an engine.
    public final class Claim: @unchecked Sendable {
        private let lock = NSLock()
        private var cache: KVCache?  // guarded by the lock; nil once released

        fileprivate init(_ cache: KVCache) { self.cache = cache }

        /// A second call does nothing.
        public func release() {
            lock.withLock {
                cache?.unclaim()
                cache = nil
            }
        }

        deinit { release() }
    }
}
