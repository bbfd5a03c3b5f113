package dev.pocketvl.json

import java.math.BigInteger

internal class JsonWriter(private val out: StringBuilder) {
    fun write(value: Any?) {
        when (value) {
            null, is Boolean, is Int, is Long, is BigInteger -> {
                out.append(value)
            }

            is Double, is Float -> {
                require((value as Number).toDouble().isFinite()) { "JSON has no $value" }
                out.append(value)
            }

            is String -> {
                string(value)
            }

            is Map<*, *> -> {
                obj(value)
            }

            is Iterable<*> -> {
                array(value)
            }

            else -> {
                throw IllegalArgumentException("JSON has no ${value.javaClass}")
            }
        }
    }

    private fun obj(members: Map<*, *>) {
        out.append('{')
        members.entries.forEachIndexed { index, (key, value) ->
            if (index > 0) out.append(',')
            string(key as String)
            out.append(':')
            write(value)
        }
        out.append('}')
    }

    private fun array(values: Iterable<*>) {
        out.append('[')
        values.forEachIndexed { index, value ->
            if (index > 0) out.append(',')
            write(value)
        }
        out.append(']')
    }

    private fun string(text: String) {
        out.append('"')
        for (char in text) {
            when {
                char == '"' || char == '\\' -> out.append('\\').append(char)
                char == '\n' -> out.append("\\n")
                char < ' ' || char == '\u2028' || char == '\u2029' -> out.append("\\u%04x".format(char.code))
                else -> out.append(char)
            }
        }
        out.append('"')
    }
}
