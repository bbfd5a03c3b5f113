package dev.pocketvl.chat

/** Seconds and counts of one answer. */
data class Statistics(
    /** Encoding, and reading a video's frames. */
    val visionSeconds: Double = 0.0,
    val imagesEncoded: Int = 0,
    /** Images whose embeddings were there already. */
    val imagesCached: Int = 0,
    val prefillSeconds: Double = 0.0,
    /** Tokens fed before the first new one; those in the cache are not fed again. */
    val prefillTokens: Int = 0,
    /** Tokens of the prompt whose keys and values were in the cache. */
    val reusedTokens: Int = 0,
    val decodeSeconds: Double = 0.0,
    /** Tokens after the first. */
    val decodeTokens: Int = 0,
    /** Seconds from the call to the first token, loading and vision included. */
    val timeToFirstToken: Double = 0.0,
    /** By prompt lookup. */
    val draftedTokens: Int = 0,
    /** Of those: drafts that became tokens of the answer. */
    val acceptedTokens: Int = 0,
    /** Of videos: two frames each. */
    val slicesEncoded: Int = 0,
    val slicesCached: Int = 0,
) {
    /** Tokens per second. */
    val prefillRate: Double get() = if (prefillSeconds > 0) prefillTokens / prefillSeconds else 0.0

    /** Tokens per second. */
    val decodeRate: Double get() = if (decodeSeconds > 0) decodeTokens / decodeSeconds else 0.0
}
