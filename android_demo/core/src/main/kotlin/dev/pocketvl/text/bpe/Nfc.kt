package dev.pocketvl.text.bpe

import java.text.Normalizer

/**
 * Normalization form C as the tokenizers library has it, which is that of Unicode 9.
 *
 * java.text.Normalizer knows another version on each system. What was assigned by Unicode 9 has the same form C in
 * all later ones (Unicode's stability policy; Android 8 has Unicode 9). A character that came later stands for itself
 * in the library, and nothing is moved across it or joined with it: the text is normalized piece by piece between
 * such characters.
 */
internal object Nfc {
    /** Below it every character is its own form C, and none combines with the one before. */
    private const val FIRST_MARK = '\u0300'

    private val later by lazy { CodePointSet(UnicodeRanges.LATER_THAN_UNICODE_9) }

    fun normalize(text: String): String {
        if (text.all { it < FIRST_MARK }) return text
        val built = StringBuilder(text.length)
        var start = 0
        var at = 0
        while (at < text.length) {
            val code = text.codePointAt(at)
            val next = at + Character.charCount(code)
            if (code >= FIRST_MARK.code && code in later) {
                built.append(piece(text, start, at)).append(text, at, next)
                start = next
            }
            at = next
        }
        if (start == 0) return piece(text, 0, text.length)
        return built.append(piece(text, start, text.length)).toString()
    }

    private fun piece(text: String, start: Int, end: Int): String =
        Normalizer.normalize(text.substring(start, end), Normalizer.Form.NFC)
}
