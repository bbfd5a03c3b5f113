package dev.pocketvl.json

import java.io.ByteArrayOutputStream
import java.io.InputStream

/**
 * Reads JSON piece by piece out of UTF-8 bytes, for files of which the values would take too much memory.
 *
 * The caller says what it expects next; anything else is a [JsonException], whose offset counts bytes. As strict as
 * [Json] is, but for keys that are there twice, which the caller sees.
 */
internal class JsonStream(private val input: InputStream) {
    private val buffer = ByteArray(1 shl 16)
    private var at = 0
    private var end = 0
    private var before = 0L

    /** The last string or key that was read. */
    val string = StringBuilder()

    /** Calls [onMember] with each key in [string]; it must read the value. */
    inline fun members(onMember: () -> Unit) {
        expect('{')
        if (taken('}')) return
        do {
            readString()
            expect(':')
            onMember()
        } while (taken(','))
        expect('}')
    }

    /** Calls [onElement] at each element, which it must read. */
    inline fun elements(onElement: () -> Unit) {
        expect('[')
        if (taken(']')) return
        do onElement() while (taken(','))
        expect(']')
    }

    /** The next character that is no space, without taking it. */
    fun peek(): Char {
        while (true) {
            val next = peekByte()
            if (next != ' '.code && next != '\n'.code && next != '\t'.code && next != '\r'.code) {
                if (next < 0) fail("the text ends too early")
                return next.toChar()
            }
            at++
        }
    }

    fun taken(char: Char): Boolean = (peek() == char).also { if (it) at++ }

    fun expect(char: Char) {
        if (!taken(char)) fail("'$char' is missing")
    }

    /** A whole number from 0 that an Int holds. */
    fun count(): Int {
        var value = 0L
        var digits = 0
        peek()
        while (peekByte() in '0'.code..'9'.code) {
            value = value * 10 + (takeByte() - '0'.code)
            digits++
            if (value > Int.MAX_VALUE) fail("a number is too large")
        }
        if (digits == 0) fail("a whole number is missing")
        if ((digits > 1 && value < 10) || peekByte() in FRACTION) fail("a number is no whole one")
        return value.toInt()
    }

    /** Reads a string into [string]. */
    fun readString() {
        expect('"')
        string.setLength(0)
        while (true) {
            val next = takeByte()
            when {
                next < 0 -> fail("a string has no end")
                next == '"'.code -> return
                next == '\\'.code -> escape()
                next < ' '.code -> fail("a control character in a string")
                next < 0x80 -> string.append(next.toChar())
                else -> string.appendCodePoint(character(next))
            }
        }
    }

    /** Any value of at most [most] bytes, as [Json.parse] gives it. */
    fun value(most: Int = 1 shl 20): Any? {
        peek()
        val start = before + at
        val bytes = ByteArrayOutputStream()
        var depth = 0
        var inString = false
        while (true) {
            val next = peekByte()
            if (next < 0 || (!inString && depth == 0 && next.toChar() in ",]}")) break
            bytes.write(takeByte())
            if (bytes.size() > most) fail("a value has more than $most bytes")
            when {
                next == '"'.code -> inString = !inString
                inString -> if (next == '\\'.code && peekByte() >= 0) bytes.write(takeByte())
                next == '{'.code || next == '['.code -> depth++
                next == '}'.code || next == ']'.code -> depth--
            }
        }
        return try {
            Json.parse(decoded(bytes.toByteArray()))
        } catch (error: JsonException) {
            throw JsonException("${error.message} of the value at byte $start", start.toInt())
        }
    }

    /** That only space is left. */
    fun finish() {
        while (peekByte() in SPACE) at++
        if (peekByte() >= 0) fail("more text after the value")
    }

    fun fail(what: String): Nothing {
        val offset = (before + at).toInt()
        throw JsonException("$what at byte $offset", offset)
    }

    private fun escape() {
        when (val code = takeByte().toChar()) {
            '"', '\\', '/' -> string.append(code)
            'b' -> string.append('\b')
            'f' -> string.append('\u000c')
            'n' -> string.append('\n')
            'r' -> string.append('\r')
            't' -> string.append('\t')
            'u' -> unit()
            else -> fail("an escape that does not exist")
        }
    }

    private fun unit() {
        val first = hexadecimal()
        string.append(first)
        if (!first.isSurrogate()) return
        if (!first.isHighSurrogate() || takeByte() != '\\'.code || takeByte() != 'u'.code) fail("half of a character")
        val second = hexadecimal()
        if (!second.isLowSurrogate()) fail("half of a character")
        string.append(second)
    }

    private fun hexadecimal(): Char {
        var code = 0
        repeat(4) {
            val digit = Character.digit(takeByte(), 16)
            if (digit < 0) fail("an escape without four hexadecimal digits")
            code = code * 16 + digit
        }
        return code.toChar()
    }

    /** The character whose UTF-8 begins with [lead]; overlong forms and surrogates are none. */
    private fun character(lead: Int): Int {
        val more =
            when (lead) {
                in 0xc2..0xdf -> 1
                in 0xe0..0xef -> 2
                in 0xf0..0xf4 -> 3
                else -> fail("bytes that are no UTF-8")
            }
        var code = lead and (0x3f shr more)
        repeat(more) {
            val next = takeByte()
            if (next and 0xc0 != 0x80) fail("bytes that are no UTF-8")
            code = code shl 6 or (next and 0x3f)
        }
        val least =
            if (more == 1) {
                0x80
            } else if (more == 2) {
                0x800
            } else {
                0x10000
            }
        if (code < least || code in 0xd800..0xdfff || code > 0x10ffff) fail("bytes that are no UTF-8")
        return code
    }

    private fun decoded(bytes: ByteArray): String =
        try {
            Charsets.UTF_8
                .newDecoder()
                .decode(java.nio.ByteBuffer.wrap(bytes))
                .toString()
        } catch (_: java.nio.charset.CharacterCodingException) {
            fail("bytes that are no UTF-8")
        }

    /** -1 at the end. */
    private fun peekByte(): Int {
        if (at == end) {
            before += end
            at = 0
            end = maxOf(0, input.read(buffer))
            if (end == 0) return -1
        }
        return buffer[at].toInt() and 0xff
    }

    private fun takeByte(): Int = peekByte().also { if (it >= 0) at++ }

    private companion object {
        val FRACTION = setOf('.'.code, 'e'.code, 'E'.code, '-'.code, '+'.code)
        val SPACE = setOf(' '.code, '\n'.code, '\t'.code, '\r'.code)
    }
}
