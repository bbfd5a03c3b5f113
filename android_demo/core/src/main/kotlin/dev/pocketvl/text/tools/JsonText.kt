package dev.pocketvl.text.tools

import java.math.BigDecimal
import java.math.MathContext

/**
 * JSON as Python's json.dumps(ensure_ascii=False) writes it, which is how the model saw schemas in its training:
 * `{"a": 1, "b": [2.5, null]}`. Throws [IllegalArgumentException] for what is no JSON, or nested too deeply.
 */
internal fun writeJson(value: Any?): String = StringBuilder().also { writeJson(value, it, 0) }.toString()

private fun writeJson(value: Any?, out: StringBuilder, depth: Int) {
    require(depth <= MAX_DEPTH) { "it is nested too deeply" }
    when (value) {
        null, is Boolean, is Int, is Long, is Short, is Byte -> {
            out.append(value)
        }

        is Double, is Float -> {
            val number = (value as Number).toDouble()
            require(number.isFinite()) { "JSON has no $value" }
            out.append(shortest(number))
        }

        is String -> {
            writeString(value, out)
        }

        is Map<*, *> -> {
            out.append('{')
            value.entries.forEachIndexed { index, (key, each) ->
                require(key is String) { "the key $key is no string" }
                if (index > 0) out.append(", ")
                writeString(key, out)
                out.append(": ")
                writeJson(each, out, depth + 1)
            }
            out.append('}')
        }

        is List<*> -> {
            out.append('[')
            value.forEachIndexed { index, each ->
                if (index > 0) out.append(", ")
                writeJson(each, out, depth + 1)
            }
            out.append(']')
        }

        else -> {
            throw IllegalArgumentException("JSON has no ${value.javaClass.simpleName}")
        }
    }
}

private fun writeString(text: String, out: StringBuilder) {
    out.append('"')
    for (char in text) {
        when (char) {
            '"', '\\' -> out.append('\\').append(char)
            '\n' -> out.append("\\n")
            '\r' -> out.append("\\r")
            '\t' -> out.append("\\t")
            '\b' -> out.append("\\b")
            '\u000c' -> out.append("\\f")
            in '\u0000'..'\u001f' -> out.append("\\u00").append(HEX[char.code shr 4]).append(HEX[char.code and 15])
            else -> out.append(char)
        }
    }
    out.append('"')
}

/** The fewest digits that give the number again, as Python's repr writes them; Double.toString knows others. */
internal fun shortest(value: Double): String {
    if (value == 0.0) return if (1 / value < 0) "-0.0" else "0.0"
    val exact = BigDecimal(value)
    val rounded = (1..17).map { exact.round(MathContext(it)) }.first { it.toDouble() == value }
    val digits =
        rounded
            .unscaledValue()
            .abs()
            .toString()
            .trimEnd('0')
    val exponent = rounded.precision() - rounded.scale() - 1
    val sign = if (value < 0) "-" else ""
    if (exponent < -4 || exponent >= 16) {
        val fraction = if (digits.length > 1) "." + digits.substring(1) else ""
        val size = exponent.let { if (it < 0) -it else it }.toString().padStart(2, '0')
        return "$sign${digits[0]}${fraction}e${if (exponent < 0) "-" else "+"}$size"
    }
    if (exponent < 0) return "${sign}0." + "0".repeat(-exponent - 1) + digits
    val padded = digits.padEnd(exponent + 1, '0')
    return sign + padded.substring(0, exponent + 1) + "." + padded.substring(exponent + 1).ifEmpty { "0" }
}

private const val HEX = "0123456789abcdef"

/** Twice what Schema.kt allows, and more: what refers to itself ends here. */
private const val MAX_DEPTH = 128
