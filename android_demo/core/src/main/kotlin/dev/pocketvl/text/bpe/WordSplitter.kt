package dev.pocketvl.text.bpe

/** Cuts a text into the words within which tokens are merged. */
internal interface WordSplitter {
    /** The end of the word that begins at UTF-16 unit [start], which is before the text's end. */
    fun end(text: String, start: Int): Int
}

/**
 * The words of Qwen2's regular expression, by hand: the same on the JVM and on every Android version.
 *
 *     (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 *
 * The classes are those of the tokenizers library (Unicode 16), case is ignored as there: U+017F is an s.
 */
internal object QwenWords : WordSplitter {
    const val PATTERN =
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" +
            "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

    override fun end(text: String, start: Int): Int {
        val code = text.codePointAt(start)
        val next = start + Character.charCount(code)
        val kind = kindOf(code)
        contraction(text, start).let { if (it > 0) return it }
        if (kind == LETTER) return skip(text, next, LETTER)
        if (kind == NUMBER) return next
        val following = if (next < text.length) kindOf(text.codePointAt(next)) else END
        if (following == LETTER && kind != LINE_BREAK) return skip(text, next, LETTER)
        if (kind == OTHER || (code == ' '.code && following == OTHER)) {
            return skip(text, skip(text, next, OTHER), LINE_BREAK)
        }
        return space(text, start)
    }

    /** Of a contraction that begins at [start], 0 if there is none. */
    private fun contraction(text: String, start: Int): Int {
        if (text[start] != '\'' || start + 1 == text.length) return 0
        val second = if (start + 2 < text.length) text[start + 2].lower() else ' '
        return when (text[start + 1].lower()) {
            's', '\u017f', 't', 'm', 'd' -> start + 2
            'r', 'v' -> if (second == 'e') start + 3 else 0
            'l' -> if (second == 'l') start + 3 else 0
            else -> 0
        }
    }

    private fun Char.lower(): Char = if (this in 'A'..'Z') this + ('a' - 'A') else this
}

/**
 * GPT-2's words with each digit apart, as SmolLM has them: only for checkpoints that are put under this family's
 * config.
 *
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 */
internal object Gpt2Words : WordSplitter {
    override fun end(text: String, start: Int): Int {
        val code = text.codePointAt(start)
        val next = start + Character.charCount(code)
        val kind = kindOf(code)
        if (kind == NUMBER) return next
        contraction(text, start).let { if (it > 0) return it }
        if (kind == LETTER || kind == OTHER) return skip(text, next, kind)
        if (code == ' '.code && next < text.length) {
            val following = kindOf(text.codePointAt(next))
            if (following == LETTER || following == OTHER) return skip(text, next, following)
        }
        return spaceBeforeDigit(text, start)
    }

    private fun contraction(text: String, start: Int): Int =
        CONTRACTIONS.firstOrNull { text.startsWith(it, start) }?.let { start + it.length } ?: 0

    /** Digits are cut off first, so that a space before one ends a text. */
    private fun spaceBeforeDigit(text: String, start: Int): Int {
        var end = start
        while (end < text.length && isSpace(kindOf(text[end].code))) end++
        val isLast = end == text.length || kindOf(text.codePointAt(end)) == NUMBER
        return if (isLast || end == start + 1) end else end - 1
    }

    private val CONTRACTIONS = listOf("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
}

/** Space up to its last line break; without one up to the last space, which goes with the next word. */
private fun space(text: String, start: Int): Int {
    var end = start
    var lastBreak = -1
    while (end < text.length) {
        val kind = kindOf(text[end].code) // all space lies in the basic plane
        if (!isSpace(kind)) break
        if (kind == LINE_BREAK) lastBreak = end
        end++
    }
    return if (lastBreak >= 0) {
        lastBreak + 1
    } else if (end == text.length || end == start + 1) {
        end
    } else {
        end - 1
    }
}

/** Behind the characters of that kind from [start] on. */
private fun skip(text: String, start: Int, kind: Int): Int {
    var at = start
    while (at < text.length) {
        val code = text.codePointAt(at)
        if (kindOf(code) != kind) break
        at += Character.charCount(code)
    }
    return at
}

private const val OTHER = 0
private const val LETTER = 1
private const val NUMBER = 2
private const val SPACE = 3

/** \r and \n, which are space, too. */
private const val LINE_BREAK = 4
private const val END = 5

private val letters = CodePointSet(UnicodeRanges.LETTERS)
private val numbers = CodePointSet(UnicodeRanges.NUMBERS)
private val ascii = ByteArray(128) { slowKindOf(it).toByte() }

private fun kindOf(code: Int): Int = if (code < ascii.size) ascii[code].toInt() else slowKindOf(code)

private fun isSpace(kind: Int): Boolean = kind == SPACE || kind == LINE_BREAK

private fun slowKindOf(code: Int): Int =
    when {
        code == '\r'.code || code == '\n'.code -> LINE_BREAK
        code in letters -> LETTER
        code in numbers -> NUMBER
        isWhiteSpace(code) -> SPACE
        else -> OTHER
    }

/** \s of the library: Unicode's White_Space, which U+001C..U+001F are not. */
private fun isWhiteSpace(code: Int): Boolean =
    when (code) {
        in 0x09..0x0d, 0x20, 0x85, 0xa0, 0x1680, in 0x2000..0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000 -> true
        else -> false
    }
