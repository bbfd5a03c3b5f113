package dev.pocketvl.json

/** A text that is not JSON; [offset] counts UTF-16 units from 0. */
class JsonException(message: String, val offset: Int) : Exception(message)

/**
 * JSON as plain values: `Map<String, Any?>` in the order of the text, `List<Any?>`, `String`, `Long`, `Double`,
 * `Boolean` and null. An integer outside of `Long` becomes a `Double`.
 *
 * Stricter than most readers, since what is read decides what native code gets: a key that is there twice, NaN,
 * infinities, control characters in strings and halves of surrogate pairs are refused, as is nesting deeper than
 * [MAX_DEPTH]. See RFC 8259.
 */
object Json {
    const val MAX_DEPTH = 64

    /** Throws [JsonException]. */
    fun parse(text: String): Any? = JsonReader(text).document()

    /** The value with which [text] begins; what follows it is not looked at. Throws [JsonException]. */
    fun parsePrefix(text: String): Any? = JsonReader(text).prefix()

    /** One line, keys in the order of the map. Numbers that JSON cannot write are an [IllegalArgumentException]. */
    fun write(value: Any?): String = StringBuilder().also { JsonWriter(it).write(value) }.toString()
}
