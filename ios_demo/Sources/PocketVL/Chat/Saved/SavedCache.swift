/// Keys and values of a feed's first slots: 0 and none where the engine cannot give them.
struct SavedCache: Sendable {
    let slots: Int
    let tensors: [String: CacheTensor]

    /// What of the feed the cache holds, as copies. For whoever holds the claim.
    static func take(from engine: any TextEngine, _ feed: Feed) throws(PocketVLError) -> SavedCache {
        let held = engine.cache.commonPrefix(feed)
        guard held > 0, let saving = engine as? any SavesCache else { return SavedCache(slots: 0, tensors: [:]) }
        let tensors = try saving.saveCache(length: held)
        return SavedCache(slots: tensors.isEmpty ? 0 : held, tensors: tensors)
    }

    /// Has the first slots of the feed in the cache, if the engine can take them. For whoever holds the claim.
    ///
    /// Throws ``PocketVLError/conversation(_:)`` for tensors that it does not fit.
    func put(into engine: any TextEngine, _ feed: Feed) throws(PocketVLError) {
        guard slots > 0, let saving = engine as? any SavesCache else { return }
        let loaded = try? saving.loadCache(tensors)
        engine.cache.truncate(0)  // whatever was there is overwritten, as far as it was
        if loaded != slots {
            throw .conversation("The saved keys and values are not those of this model; save them again.")
        }
        let range = 0..<slots
        engine.cache.append(
            tokenIDs: Array(feed.tokenIDs[range]), mediaKeys: Array(feed.mediaKeys[range]),
            positions: feed.positions[range])
    }
}
