package dev.pocketvl.text.tools

import dev.pocketvl.json.Json
import dev.pocketvl.json.JsonException
import dev.pocketvl.text.isSpace

/** A call as it was written; what is wrong with it becomes a reason, never an exception. */
internal fun readCall(id: String, name: String, raw: String, tools: ToolSet): AnyToolCall {
    val tool =
        tools[name] ?: return InvalidToolCall(
            id,
            name,
            raw,
            "There is no tool '$name'; known are ${tools.names.joinToString()}.",
        )
    val arguments =
        try {
            parseArguments(raw)
        } catch (error: JsonException) {
            return InvalidToolCall(id, name, raw, "The arguments of $name must be a JSON object: ${error.message}.")
        }
    val reason = misfit(arguments, tool.parameters) ?: return ToolCall(id, name, arguments, raw)
    return InvalidToolCall(id, name, raw, "The arguments of $name do not fit: $reason.")
}

/**
 * The JSON object with which [raw] begins; nothing at all is an object without keys.
 *
 * What comes after it is left out, as this family at times adds a comment. Throws [JsonException].
 */
@Suppress("UNCHECKED_CAST")
internal fun parseArguments(raw: String): Map<String, Any?> {
    val text = raw.trim { it.isSpace() }
    if (text.isEmpty()) return emptyMap()
    val value = Json.parsePrefix(text)
    if (value !is Map<*, *>) throw JsonException("this is ${kindOf(value)}", 0)
    return value as Map<String, Any?>
}
