package dev.pocketvl.decoding

/** How much of the KV cache serves a prompt: decided from what the slots hold and what is wanted. */
sealed interface Prefix {
    /** Slots that stay as they are; what is wanted from there on is fed. */
    val kept: Int

    data class Reuse(override val kept: Int) : Prefix

    /** Everything is fed, from slot 0 on. */
    data class Rebuild(val why: Why) : Prefix {
        override val kept: Int get() = 0
    }

    enum class Why(val text: String) {
        NOTHING_HELD("nothing is held"),
        ANOTHER_BEGINNING("another beginning"),
        SINGLE_TOKEN("a single token"),
    }
}

/**
 * What to do where the cache holds [held] slots, [wanted] are to be held and the first [common] of both are equal.
 *
 * The last token is fed in any case: the answer begins with its hidden state, which no cache has.
 */
internal fun planPrefill(held: Int, wanted: Int, common: Int): Prefix =
    when {
        held == 0 -> Prefix.Rebuild(Prefix.Why.NOTHING_HELD)
        common == 0 -> Prefix.Rebuild(Prefix.Why.ANOTHER_BEGINNING)
        wanted == 1 -> Prefix.Rebuild(Prefix.Why.SINGLE_TOKEN)
        else -> Prefix.Reuse(minOf(common, wanted - 1))
    }
