package dev.pocketvl.json

import java.math.BigInteger

internal class JsonReader(private val text: String) {
    private var at = 0

    fun document(): Any? {
        val value = value(0)
        skipSpace()
        if (at < text.length) fail("more text after the value")
        return value
    }

    fun prefix(): Any? = value(0)

    private fun value(depth: Int): Any? {
        if (depth > Json.MAX_DEPTH) fail("nesting deeper than ${Json.MAX_DEPTH}")
        skipSpace()
        if (at == text.length) fail("the text ends too early")
        return when (val next = text[at]) {
            '{' -> obj(depth)
            '[' -> array(depth)
            '"' -> string()
            't' -> literal("true", true)
            'f' -> literal("false", false)
            'n' -> literal("null", null)
            '-', in '0'..'9' -> number()
            else -> fail("unexpected ${shown(next)}")
        }
    }

    private fun obj(depth: Int): Map<String, Any?> {
        val members = LinkedHashMap<String, Any?>()
        at++
        skipSpace()
        if (taken('}')) return members
        while (true) {
            skipSpace()
            if (at == text.length || text[at] != '"') fail("a key in quotes is missing")
            val start = at
            val key = string()
            if (key in members) {
                at = start
                fail("the key \"$key\" is there twice")
            }
            skipSpace()
            expect(':')
            members[key] = value(depth + 1)
            skipSpace()
            if (taken('}')) return members
            expect(',')
        }
    }

    private fun array(depth: Int): List<Any?> {
        val values = ArrayList<Any?>()
        at++
        skipSpace()
        if (taken(']')) return values
        while (true) {
            values.add(value(depth + 1))
            skipSpace()
            if (taken(']')) return values
            expect(',')
        }
    }

    private fun string(): String {
        val start = ++at
        while (at < text.length && text[at] != '"' && text[at] != '\\' && text[at] >= ' ' &&
            !text[at].isSurrogate()
        ) {
            at++
        }
        if (at < text.length && text[at] == '"') return text.substring(start, at++)
        val built = StringBuilder().append(text, start, at)
        while (true) {
            if (at == text.length) fail("a string has no end")
            val next = text[at]
            when {
                next == '"' -> {
                    at++
                    return built.toString()
                }

                next == '\\' -> {
                    escape(built)
                }

                next < ' ' -> {
                    fail("a control character in a string")
                }

                next.isSurrogate() -> {
                    if (!isPair(next, text.getOrNull(at + 1))) fail("half of a character")
                    built.append(text, at, at + 2)
                    at += 2
                }

                else -> {
                    built.append(next)
                    at++
                }
            }
        }
    }

    private fun escape(built: StringBuilder) {
        val code = text.getOrNull(at + 1) ?: fail("a string has no end")
        at += 2
        when (code) {
            '"', '\\', '/' -> {
                built.append(code)
            }

            'b' -> {
                built.append('\b')
            }

            'f' -> {
                built.append('\u000C')
            }

            'n' -> {
                built.append('\n')
            }

            'r' -> {
                built.append('\r')
            }

            't' -> {
                built.append('\t')
            }

            'u' -> {
                val unit = unit()
                if (!unit.isSurrogate()) {
                    built.append(unit)
                    return
                }
                if (!text.startsWith("\\u", at)) fail("half of a character")
                at += 2
                val second = unit()
                if (!isPair(unit, second)) fail("half of a character")
                built.append(unit).append(second)
            }

            else -> {
                fail("the escape \\$code does not exist")
            }
        }
    }

    /** The four hexadecimal digits at [at]. */
    private fun unit(): Char {
        var code = 0
        repeat(4) {
            val digit = text.getOrNull(at)?.let(::hexDigit) ?: -1
            if (digit < 0) fail("an escape without four hexadecimal digits")
            code = code * 16 + digit
            at++
        }
        return code.toChar()
    }

    private fun hexDigit(char: Char): Int =
        when (char) {
            in '0'..'9' -> char - '0'
            in 'a'..'f' -> char - 'a' + 10
            in 'A'..'F' -> char - 'A' + 10
            else -> -1
        }

    private fun number(): Any {
        val start = at
        if (text[at] == '-') at++
        val digitsFrom = at
        if (!taken('0')) digits()
        var isWhole = true
        if (taken('.')) {
            isWhole = false
            digits()
        }
        if (at < text.length && text[at] in "eE") {
            isWhole = false
            at++
            if (at < text.length && text[at] in "+-") at++
            digits()
        }
        val written = text.substring(start, at)
        if (isWhole) {
            if (at - digitsFrom > Json.MAX_DIGITS) fail("an integer of more than ${Json.MAX_DIGITS} digits")
            return written.toLongOrNull() ?: BigInteger(written)
        }
        val value = written.toDouble()
        if (value.isInfinite()) fail("the number ${written.take(20)} is too large")
        return value
    }

    private fun digits() {
        val start = at
        while (at < text.length && text[at] in '0'..'9') at++
        if (at == start) fail("a number without digits")
    }

    private fun literal(word: String, value: Any?): Any? {
        if (!text.startsWith(word, at)) fail("unexpected ${shown(text[at])}")
        at += word.length
        return value
    }

    private fun skipSpace() {
        while (at < text.length && text[at] in " \t\n\r") at++
    }

    private fun taken(char: Char): Boolean = (at < text.length && text[at] == char).also { if (it) at++ }

    private fun expect(char: Char) {
        if (!taken(char)) fail("'$char' is missing")
    }

    private fun isPair(first: Char, second: Char?): Boolean =
        first.isHighSurrogate() && second != null && second.isLowSurrogate()

    private fun shown(char: Char): String = if (char in ' '..'~') "'$char'" else "U+%04X".format(char.code)

    private fun fail(what: String): Nothing = throw JsonException("$what at character $at", at)
}
