package dev.pocketvl.media

import dev.pocketvl.decoding.Media

private const val BYTES_PER_VALUE = 4L

/**
 * Image embeddings kept by content, so that no image is encoded twice. Least recently used ones go first once
 * [maxBytes] of embeddings are held. For any thread.
 */
class ImageCache(private val maxBytes: Long) {
    private val entries = LinkedHashMap<String, Media>(16, 0.75f, true)
    private var bytes = 0L

    @Synchronized
    fun get(key: String): Media? = entries[key]

    /** The newest entry stays even where it alone is larger than [maxBytes]. */
    @Synchronized
    fun put(key: String, entry: Media) {
        entries.remove(key)?.let { bytes -= bytesOf(it) }
        bytes += bytesOf(entry)
        entries[key] = entry
        val oldest = entries.entries.iterator()
        while (bytes > maxBytes && entries.size > 1) {
            bytes -= bytesOf(oldest.next().value)
            oldest.remove()
        }
    }

    /** Forgets all: memory is short. */
    @Synchronized
    fun clear() {
        entries.clear()
        bytes = 0
    }

    private fun bytesOf(entry: Media): Long = BYTES_PER_VALUE * entry.embeddings.values.size
}
