package dev.pocketvl.bundle

import dev.pocketvl.ManifestException
import java.math.BigInteger

/**
 * Builds a value from the members of a JSON object, refusing unknown keys, missing keys and wrong types.
 *
 * [where] names the place in messages, [known] are its keys, of which only the [optional] ones may be missing. Throws
 * [ManifestException] for anything that does not fit exactly, and where [make] throws IllegalArgumentException.
 */
internal inline fun <T> readStrictly(
    value: Any?,
    where: String,
    known: List<String>,
    optional: Set<String> = emptySet(),
    make: Members.() -> T,
): T {
    val members = Members.of(value, where, known, optional)
    try {
        return members.make()
    } catch (error: IllegalArgumentException) {
        throw ManifestException("$where is not valid: ${error.message}.", error)
    }
}

/** The members of one JSON object, each read as the type that it must have. Functions throw [ManifestException]. */
internal class Members private constructor(private val values: Map<*, *>, private val where: String) {
    operator fun get(name: String): Any? = values[name]

    fun at(name: String): String = "$where.$name"

    fun int(name: String): Int = toInt(this[name], at(name))

    fun intOrNull(name: String): Int? = this[name]?.let { toInt(it, at(name)) }

    fun long(name: String): Long = toLong(this[name], at(name))

    fun longOrNull(name: String): Long? = this[name]?.let { toLong(it, at(name)) }

    fun string(name: String): String = toText(this[name], at(name))

    fun stringOrNull(name: String): String? = this[name]?.let { toText(it, at(name)) }

    fun boolean(name: String): Boolean = this[name] as? Boolean ?: throw wrongType(at(name), "bool", this[name])

    /** A whole number is one, too. */
    fun double(name: String): Double = toDouble(this[name], at(name))

    fun <T> list(name: String, read: (value: Any?, where: String) -> T): List<T> {
        val items =
            this[name] as? List<*> ?: throw ManifestException("${at(name)} must be a list, not ${kind(this[name])}.")
        return items.mapIndexed { index, item -> read(item, "${at(name)}[$index]") }
    }

    /** Of exactly three items. */
    fun <T> triple(name: String, read: (value: Any?, where: String) -> T): List<T> {
        val items = this[name]
        if (items is List<*> && items.size != 3) {
            throw ManifestException("${at(name)} must have 3 items, not ${items.size}.")
        }
        return list(name, read)
    }

    fun texts(name: String): Map<String, String> {
        val members =
            this[name] as? Map<*, *>
                ?: throw ManifestException("${at(name)} must be an object, not ${kind(this[name])}.")
        return members.entries.associate { (key, value) -> key as String to toText(value, "${at(name)}.$key") }
    }

    companion object {
        fun of(value: Any?, where: String, known: List<String>, optional: Set<String>): Members {
            if (value !is Map<*, *>) throw ManifestException("$where must be an object, not ${kind(value)}.")
            val unknown =
                value.keys
                    .map { it as String }
                    .filter { it !in known }
                    .minOrNull()
            if (unknown != null) {
                throw ManifestException(
                    "$where has the unknown key ${shortened(unknown)}; known are ${known.joinToString()}.",
                )
            }
            val missing = known.firstOrNull { it !in value && it !in optional }
            if (missing != null) throw ManifestException("$where lacks the key '$missing'.")
            return Members(value, where)
        }
    }
}

internal fun toInt(value: Any?, where: String): Int {
    val number = toLong(value, where)
    if (number != number.toInt().toLong()) throw ManifestException("$where must be an integer of at most 32 bits.")
    return number.toInt()
}

/** 1.0 and true are no integers; -2^63 is none of 64 bits, as in Python. */
internal fun toLong(value: Any?, where: String): Long {
    if (value is BigInteger || value == Long.MIN_VALUE) {
        throw ManifestException("$where must be an integer of at most 64 bits.")
    }
    return value as? Long ?: throw wrongType(where, "int", value)
}

internal fun toDouble(value: Any?, where: String): Double {
    if (value !is Number) throw wrongType(where, "float", value)
    val number = value.toDouble()
    if (!number.isFinite()) throw ManifestException("$where must be a finite number.")
    return number
}

internal fun toText(value: Any?, where: String): String = value as? String ?: throw wrongType(where, "str", value)

internal fun wrongType(where: String, wanted: String, value: Any?) =
    ManifestException("$where must be $wanted, not ${kind(value)}.")

/** The names that Python has for the types of JSON, which wrote the file. */
private fun kind(value: Any?): String =
    when (value) {
        null -> "null"
        is Boolean -> "bool"
        is Long, is BigInteger -> "int"
        is Number -> "float"
        is String -> "str"
        is List<*> -> "list"
        else -> "dict"
    }

/** A value of a file with its texts in quotes, cut where it is too long for a sentence. */
internal fun shortened(value: Any?): String {
    val text = quoted(value)
    return if (text.length <= 80) text else "${text.take(80)}..."
}

private fun quoted(value: Any?): String =
    when (value) {
        is String -> value.take(100).map(::escaped).joinToString("", "'", "'")
        is List<*> -> value.take(100).joinToString(prefix = "[", postfix = "]", transform = ::quoted)
        is Dimension.Size -> "${value.value}"
        is Dimension.Dynamic -> quoted(value.name)
        else -> "$value".take(100)
    }

private fun escaped(char: Char): String =
    when {
        char == '\n' -> "\\n"
        char == '\'' || char == '\\' -> "\\$char"
        char.isISOControl() || char.category == CharCategory.FORMAT -> "\\u%04x".format(char.code)
        else -> "$char"
    }
