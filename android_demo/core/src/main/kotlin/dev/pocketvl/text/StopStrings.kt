package dev.pocketvl.text

import dev.pocketvl.UsageException

/** Most stop strings of one answer. */
const val MAX_STOP_STRINGS = 4

/**
 * Passes text on piece by piece, as far as no stop string has been found in it.
 *
 * The first one is that which ends first; of those that end together, the longest. So what is found does not depend
 * on how the text is cut into pieces. Only what may still become a stop string is held back. Throws
 * [UsageException] for more than [MAX_STOP_STRINGS] strings, or an empty one.
 */
class StopStrings
    @JvmOverloads
    constructor(strings: List<String> = emptyList()) {
        private val strings = strings.toList()
        private var held = ""

        /** The stop string that ended the text, null so far. */
        var found: String? = null
            private set

        init {
            if (strings.size > MAX_STOP_STRINGS) {
                throw UsageException("stop takes at most $MAX_STOP_STRINGS texts, not ${strings.size}.")
            }
            if ("" in strings) {
                throw UsageException("A stop string must not be empty: every answer would end before it begins.")
            }
        }

        /** What may be shown now that [piece] has come, maybe nothing. */
        fun push(piece: String): String {
            if (found != null) return ""
            val text = held + piece
            val first =
                strings
                    .map { it to text.indexOf(it) }
                    .filter { (_, start) -> start >= 0 }
                    .minWithOrNull(compareBy({ (string, start) -> start + string.length }, { (_, start) -> start }))
            if (first != null) {
                found = first.first
                held = ""
                return text.substring(0, first.second)
            }
            val shown = text.length - unfinished(text)
            held = text.substring(shown)
            return text.substring(0, shown)
        }

        /** What was held back, now that nothing follows. */
        fun finish(): String = held.also { held = "" }

        /** How many of the last UTF-16 units begin a stop string. */
        private fun unfinished(text: String): Int {
            val longest = strings.maxOfOrNull { it.length - 1 } ?: 0
            for (count in minOf(longest, text.length) downTo 1) {
                if (strings.any { it.regionMatches(0, text, text.length - count, count) }) return count
            }
            return 0
        }
    }
