package dev.pocketvl.json

import java.nio.ByteBuffer
import java.nio.charset.CodingErrorAction

/** A text that is not JSON; [offset] counts UTF-16 units from 0. */
class JsonException(message: String, val offset: Int) : Exception(message)

/**
 * JSON as plain values: `Map<String, Any?>` in the order of the text, `List<Any?>`, `String`, `Long`, `Double`,
 * `Boolean` and null. An integer outside of `Long` is a `BigInteger`.
 *
 * Stricter than most readers, since what is read decides what native code gets: a key that is there twice, NaN,
 * infinities, control characters in strings and halves of surrogate pairs are refused, as is nesting deeper than
 * [MAX_DEPTH], an integer of more than [MAX_DIGITS] digits and a byte-order mark. See RFC 8259.
 */
object Json {
    const val MAX_DEPTH = 64
    const val MAX_DIGITS = 4300 // as Python has it: more take time that grows with their square

    /** Throws [JsonException]. */
    fun parse(text: String): Any? = JsonReader(text).document()

    /** The same in UTF-8. Throws [JsonException], and CharacterCodingException for what is not UTF-8. */
    fun parse(bytes: ByteArray): Any? = parse(decodeUtf8(bytes))

    /** Unlike `String(bytes)`, throws CharacterCodingException for what is not UTF-8. */
    fun decodeUtf8(bytes: ByteArray): String =
        Charsets.UTF_8
            .newDecoder()
            .onMalformedInput(CodingErrorAction.REPORT)
            .onUnmappableCharacter(CodingErrorAction.REPORT)
            .decode(ByteBuffer.wrap(bytes))
            .toString()

    /** The value with which [text] begins; what follows it is not looked at. Throws [JsonException]. */
    fun parsePrefix(text: String): Any? = JsonReader(text).prefix()

    /** One line, keys in the order of the map. Numbers that JSON cannot write are an [IllegalArgumentException]. */
    fun write(value: Any?): String = StringBuilder().also { JsonWriter(it).write(value) }.toString()
}
