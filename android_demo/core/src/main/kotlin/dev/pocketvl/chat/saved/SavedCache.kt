package dev.pocketvl.chat.saved

import dev.pocketvl.CacheTensor
import dev.pocketvl.ConversationException
import dev.pocketvl.EngineException
import dev.pocketvl.SavesCache
import dev.pocketvl.TextEngine
import dev.pocketvl.decoding.Feed

/** Keys and values of a feed's first [slots] slots: 0 and none where the engine cannot give them. */
internal class SavedCache(val slots: Int, val tensors: Map<String, CacheTensor>)

/** What of the feed the cache holds, as copies. For whoever holds the claim. */
internal fun takeCache(engine: TextEngine, feed: Feed): SavedCache {
    val held = engine.cache.commonPrefix(feed)
    val tensors = if (held > 0 && engine is SavesCache) engine.saveCache(held) else emptyMap()
    return SavedCache(if (tensors.isEmpty()) 0 else held, tensors)
}

/**
 * Has the first [count] slots of the feed in the cache, if the engine can take them. For whoever holds the claim.
 *
 * Throws [ConversationException] for tensors that it does not fit.
 */
internal fun putCache(engine: TextEngine, feed: Feed, count: Int, tensors: Map<String, CacheTensor>) {
    if (count == 0 || engine !is SavesCache) return
    val slots =
        try {
            engine.loadCache(tensors)
        } catch (_: EngineException) {
            -1
        }
    engine.cache.truncate(0) // whatever was there is overwritten, as far as it was
    if (slots != count) {
        throw ConversationException("The saved keys and values are not those of this model; save them again.")
    }
    engine.cache.append(feed, 0, count)
}
