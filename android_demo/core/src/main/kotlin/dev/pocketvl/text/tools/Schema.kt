package dev.pocketvl.text.tools

import dev.pocketvl.UsageException

// What a small model most often gets wrong is checked: type, enum, properties, required, additionalProperties and
// items. Other keywords (pattern, minimum, anyOf, ...) are shown to the model and left to the handler.

private const val MAX_DEPTH = 32
private val TYPES = listOf("string", "integer", "number", "boolean", "array", "object", "null")

/** Throws [UsageException] unless [schema] describes an object of named arguments. */
internal fun checkParameters(schema: Map<String, Any?>, where: String) {
    if (schema["type"] != "object") {
        throw UsageException("$where must be a JSON schema of the type \"object\", not ${shown(schema)}.")
    }
    try {
        writeJson(schema)
    } catch (error: IllegalArgumentException) {
        throw UsageException("$where cannot be written as JSON (${error.message}).")
    }
    check(schema, where, MAX_DEPTH)
}

/**
 * What is wrong with the arguments for a schema that [checkParameters] took; null if they fit.
 *
 * Arguments that the schema does not name are wrong unless it has additionalProperties: nobody reads them.
 */
internal fun misfit(arguments: Map<String, Any?>, parameters: Map<String, Any?>): String? =
    misfit(arguments, mapOf<String, Any?>("additionalProperties" to false) + parameters, "")

/** JSON Schema's name for the type of a value out of JSON. */
internal fun kindOf(value: Any?): String =
    when (value) {
        null -> "null"
        is Boolean -> "boolean"
        is String -> "string"
        is Int, is Long -> "integer"
        is Number -> "number"
        is List<*> -> "array"
        else -> "object"
    }

/** Of one schema and those in it; true and false are schemas, too. */
private fun check(schema: Any?, where: String, depth: Int) {
    if (schema is Boolean) return
    if (schema !is Map<*, *>) throw UsageException("$where must be a JSON schema, not ${shown(schema)}.")
    if (depth == 0) throw UsageException("$where are nested deeper than $MAX_DEPTH levels.")
    for (kind in kindsOf(schema)) {
        if (kind !in TYPES) {
            throw UsageException("$where have the unknown type ${shown(kind)}; known are ${TYPES.joinToString()}.")
        }
    }
    val properties = schema.getOr("properties", emptyMap<String, Any?>())
    if (properties !is Map<*, *>) throw UsageException("$where must have an object as 'properties'.")
    val required = schema.getOr("required", emptyList<String>())
    if (required !is List<*> || required.any { it !in properties.keys }) {
        throw UsageException("$where must have a list of names out of 'properties' as 'required'.")
    }
    if (schema.getOr("enum", emptyList<Any?>()) !is List<*>) throw UsageException("$where must have a list as 'enum'.")
    val inner = properties.entries.map { it.key to it.value } + INNER.filter { it in schema }.map { it to schema[it] }
    for ((key, each) in inner) {
        check(each, if (depth == MAX_DEPTH) "$where at $key" else "$where.$key", depth - 1)
    }
}

private val INNER = listOf("items", "additionalProperties")

private fun kindsOf(schema: Map<*, *>): List<*> {
    val wanted = schema.getOr("type", emptyList<String>())
    return wanted as? List<*> ?: listOf(wanted)
}

/** A key that is there with null counts: it is a mistake that must be named. */
private fun Map<*, *>.getOr(key: String, default: Any): Any? = if (key in this) this[key] else default

private fun misfit(value: Any?, schema: Any?, where: String): String? {
    if (schema !is Map<*, *>) return if (schema == false) "$where is not allowed" else null
    val kinds = kindsOf(schema)
    if (kinds.isNotEmpty() && kinds.none { isOf(value, it) }) {
        return "$where must be ${kinds.joinToString(" or ")}, not ${kindOf(value)}"
    }
    val choices = schema["enum"] as? List<*>
    if (choices != null && choices.none { isEqual(value, it) }) return "$where must be one of ${writeJson(choices)}"
    return when (value) {
        is Map<*, *> -> {
            objectMisfit(value, schema, where)
        }

        is List<*> -> {
            value.withIndex().firstNotNullOfOrNull { (i, each) ->
                misfit(each, schema["items"], "$where[$i]")
            }
        }

        else -> {
            null
        }
    }
}

private fun objectMisfit(value: Map<*, *>, schema: Map<*, *>, where: String): String? {
    val properties = schema.getOr("properties", emptyMap<String, Any?>()) as Map<*, *>
    val others = schema.getOr("additionalProperties", true)
    val missing = (schema["required"] as? List<*>).orEmpty().firstOrNull { it !in value.keys }
    if (missing != null) return "${path(where, missing)} is missing"
    for ((key, each) in value) {
        if (key !in properties.keys && others == false) {
            return "${path(where, key)} is unknown; known are ${properties.keys.joinToString().ifEmpty { "none" }}"
        }
        misfit(each, if (key in properties.keys) properties[key] else others, path(where, key))?.let { return it }
    }
    return null
}

private fun isOf(value: Any?, kind: Any?): Boolean =
    when (val own = kindOf(value)) {
        "integer" -> kind == "integer" || kind == "number"

        // 3.0 is an integer to JSON Schema.
        "number" -> kind == "number" || (kind == "integer" && (value as Number).toDouble().let { it == Math.rint(it) })

        else -> kind == own
    }

/** In value and kind: 1 is not 1.0, and not true. */
private fun isEqual(value: Any?, choice: Any?): Boolean {
    if (kindOf(value) != kindOf(choice)) return false
    return when (value) {
        is Int, is Long -> (value as Number).toLong() == (choice as Number).toLong()
        is Number -> value.toDouble() == (choice as Number).toDouble()
        is List<*> -> value.size == (choice as List<*>).size && value.indices.all { isEqual(value[it], choice[it]) }
        is Map<*, *> -> value.keys == (choice as Map<*, *>).keys && value.all { isEqual(it.value, choice[it.key]) }
        else -> value == choice
    }
}

private fun path(where: String, key: Any?): String = if (where.isEmpty()) "$key" else "$where.$key"

private fun shown(value: Any?): String =
    when (value) {
        is String -> "'$value'"
        else -> "$value"
    }.take(60)
