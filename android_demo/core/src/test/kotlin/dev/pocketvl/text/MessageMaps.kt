package dev.pocketvl.text

import dev.pocketvl.double
import dev.pocketvl.int
import dev.pocketvl.json.JsonException
import dev.pocketvl.listOf
import dev.pocketvl.members
import dev.pocketvl.text.tools.AnyToolCall
import dev.pocketvl.text.tools.InvalidToolCall
import dev.pocketvl.text.tools.Tool
import dev.pocketvl.text.tools.ToolCall
import dev.pocketvl.text.tools.parseArguments

/** Messages as goldens have them, which is how OpenAI's API writes them; images have no source. */
fun messagesOf(maps: Any?): List<Message> = maps.listOf<Any?>().map { messageOf(it.members()) }

fun toolOf(map: Map<String, Any?>): Tool =
    if ("parameters" in map) {
        Tool(map["name"] as String, map["description"] as? String ?: "", map["parameters"].members())
    } else {
        Tool(map["name"] as String, map["description"] as? String ?: "")
    }

private fun messageOf(map: Map<String, Any?>): Message {
    val role = Role.entries.first { it.label == map["role"] }
    val content = map["content"]
    val calls = map["tool_calls"]?.listOf<Any?>().orEmpty().map { CallPart(callOf(it.members())) }
    val parts =
        when (content) {
            is String -> if (calls.isNotEmpty() && content.isEmpty()) emptyList() else listOf(TextPart(content))
            null -> emptyList()
            else -> content.listOf<Any?>().map { partOf(it.members()) }
        }
    return Message(role, parts + calls, map["tool_call_id"] as String?)
}

private fun callOf(map: Map<String, Any?>): AnyToolCall {
    val function = map["function"].members()
    val name = function["name"] as String
    val raw = function["arguments"] as String
    return try {
        ToolCall(map["id"] as String, name, parseArguments(raw), raw)
    } catch (error: JsonException) {
        InvalidToolCall(map["id"] as String, name, raw, error.message!!)
    }
}

private fun partOf(map: Map<String, Any?>): Part =
    when (val type = map["type"]) {
        "text" -> {
            TextPart(map["text"] as String)
        }

        "object_ref" -> {
            ObjectRef(map["text"] as String)
        }

        "image" -> {
            ImagePart(null)
        }

        "video" -> {
            VideoPart(null)
        }

        "box", "quad" -> {
            val kind = ShapeKind.entries.first { it.label == type }
            val numbers = (map["pixels"] ?: map[type]).listOf<Any?>().map { it.double() }
            Shape(kind, numbers, "pixels" in map, map["image"]?.int())
        }

        else -> {
            error("no part: $type")
        }
    }
