package dev.pocketvl.presentation.text

/**
 * What a screen reader is to say of an answer while it grows: whole sentences, each once. Reading out every piece
 * would cut the one before off.
 */
class SpokenText {
    private var spoken = 0

    /** The sentences of [answer] that have ended since the last call, maybe none; all the rest where it [isDone]. */
    fun next(answer: String, isDone: Boolean): String {
        if (answer.length < spoken) spoken = 0 // another answer
        val end = if (isDone) answer.length else sentenceEnd(answer)
        if (end <= spoken) return ""
        return answer.substring(spoken, end).trim().also { spoken = end }
    }

    /** Behind the last full stop that white space follows, or the last line break or stop of East Asian scripts. */
    private fun sentenceEnd(answer: String): Int {
        for (index in answer.lastIndex downTo spoken) {
            val char = answer[index]
            val isFollowed = index < answer.lastIndex && answer[index + 1].isWhitespace()
            if (char == '\n' || char in "。！？" || (char in ".!?:;" && isFollowed)) return index + 1
        }
        return spoken
    }
}
