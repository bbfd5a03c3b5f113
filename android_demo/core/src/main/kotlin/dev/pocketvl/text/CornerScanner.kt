package dev.pocketvl.text

/** Reads points "(x,y)", parted by commas, with space anywhere between; the numbers have at most four digits. */
internal class CornerScanner(private val text: CharSequence) {
    /** Behind what [corners] has read. */
    var end = 0
        private set

    val isAtEnd: Boolean get() = end == text.length

    /** x, y of [count] points from character [start] on; null if they are not there. */
    fun corners(start: Int, count: Int): List<Double>? {
        end = start
        val found = ArrayList<Double>(2 * count)
        repeat(count) { index ->
            if (index > 0 && !separator()) return null
            if (!taken('(')) return null
            found.add(number() ?: return null)
            if (!taken(',')) return null
            found.add(number() ?: return null)
            if (!taken(')')) return null
        }
        return found
    }

    private fun separator(): Boolean {
        skipSpace()
        if (!taken(',')) return false
        skipSpace()
        return true
    }

    private fun number(): Double? {
        skipSpace()
        val digits = StringBuilder()
        if (!digits(digits, most = 4)) return null
        if (taken('.')) {
            digits.append('.')
            if (!digits(digits, most = 9)) return null
        }
        skipSpace()
        return digits.toString().toDouble()
    }

    /** Decimal digits of any script, as ASCII. */
    private fun digits(into: StringBuilder, most: Int): Boolean {
        val start = into.length
        while (end < text.length && into.length - start < most) {
            val code = Character.codePointAt(text, end)
            if (!Character.isDigit(code)) break
            into.append(Character.digit(code, 10))
            end += Character.charCount(code)
        }
        return into.length > start
    }

    private fun taken(char: Char): Boolean = (end < text.length && text[end] == char).also { if (it) end++ }

    private fun skipSpace() {
        while (end < text.length && text[end].isSpace()) end++
    }
}

/** Python's str.isspace, on every version of Android the same. */
internal fun Char.isSpace(): Boolean =
    when (this) {
        in '\t'..'\r', in '\u001c'..' ', '\u0085', '\u00a0', '\u1680', in '\u2000'..'\u200a',
        '\u2028', '\u2029', '\u202f', '\u205f', '\u3000',
        -> true

        else -> false
    }
