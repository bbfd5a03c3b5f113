package dev.pocketvl.chat.saved

import dev.pocketvl.ConversationException
import dev.pocketvl.bundle.readStrictly
import dev.pocketvl.bundle.toDouble
import dev.pocketvl.json.Json
import dev.pocketvl.json.JsonException
import dev.pocketvl.text.CallPart
import dev.pocketvl.text.ImagePart
import dev.pocketvl.text.Message
import dev.pocketvl.text.ObjectRef
import dev.pocketvl.text.Part
import dev.pocketvl.text.Role
import dev.pocketvl.text.Shape
import dev.pocketvl.text.ShapeKind
import dev.pocketvl.text.TextPart
import dev.pocketvl.text.VideoPart
import dev.pocketvl.text.tools.AnyToolCall
import dev.pocketvl.text.tools.InvalidToolCall
import dev.pocketvl.text.tools.ToolCall

// Messages as JSON in a saved conversation; of an image only that it is there:
//
//     {"role": "user", "parts": [{"type": "text", "text": "What?", "numbers": null, "call": null}, ...]}
//
// text is that of a text or an object_ref, numbers those of a box or a quad in thousandths, call that of a tool_call.

/** Throws [ConversationException] for a part that cannot be saved. */
internal fun stored(message: Message): Map<String, Any?> =
    mapOf("role" to message.role.label, "parts" to message.parts.map { stored(it) })

/** Its images have no source. Throws [Misfit], [dev.pocketvl.ManifestException]. */
internal fun messageOf(value: Any?, where: String): Message =
    readStrictly(value, where, listOf("role", "parts")) {
        val label = string("role")
        val role = Role.entries.firstOrNull { it.label == label }
        val parts = list("parts", ::partOf)
        if (role == null || parts.isEmpty()) throw Misfit("it has a message of no known role, or without content")
        Message(role, parts)
    }

private fun stored(part: Part): Map<String, Any?> =
    when {
        part is TextPart -> stored("text", text = part.text)

        part is ObjectRef -> stored("object_ref", text = part.text)

        part is Shape && !part.inPixels -> stored(part.kind.label, numbers = part.numbers)

        part is ImagePart -> stored("image")

        part is VideoPart -> stored("video")

        part is CallPart -> stored("tool_call", call = storedCall(part.call))

        else -> throw ConversationException(
            "A message with a ${part.javaClass.simpleName} cannot be saved; leave it out.",
        )
    }

private fun stored(
    type: String,
    text: String? = null,
    numbers: List<Double>? = null,
    call: Map<String, Any?>? = null,
): Map<String, Any?> = mapOf("type" to type, "text" to text, "numbers" to numbers, "call" to call)

private fun partOf(value: Any?, where: String): Part =
    readStrictly(value, where, listOf("type", "text", "numbers", "call"), setOf("text", "numbers", "call")) {
        val type = string("type")
        val text = stringOrNull("text")
        val numbers = this["numbers"]?.let { list("numbers", ::toDouble) }
        val call = this["call"]?.let { callOf(it, at("call")) }
        val given = listOfNotNull(text, numbers, call)
        val kind = ShapeKind.entries.firstOrNull { it.label == type }
        val part =
            when {
                given.isEmpty() && type == "image" -> ImagePart(null)
                given.isEmpty() && type == "video" -> VideoPart(null)
                given.size != 1 -> null
                text != null && type == "text" -> TextPart(text)
                text != null && type == "object_ref" -> ObjectRef(text)
                call != null && type == "tool_call" -> CallPart(call)
                numbers != null && kind != null -> Shape(kind, numbers)
                else -> null
            }
        part ?: throw Misfit("it has a part of the type '${type.take(40)}' that is none")
    }

private fun storedCall(call: AnyToolCall): Map<String, Any?> =
    mapOf(
        "id" to call.id,
        "name" to call.name,
        "raw" to call.raw,
        "arguments" to (call as? ToolCall)?.let { Json.write(it.arguments) },
        "reason" to (call as? InvalidToolCall)?.reason,
    )

private fun callOf(value: Any, where: String): AnyToolCall =
    readStrictly(value, where, listOf("id", "name", "raw", "arguments", "reason"), setOf("arguments", "reason")) {
        val id = string("id")
        val reason = stringOrNull("reason")
        val arguments = stringOrNull("arguments")
        if (arguments == null) {
            InvalidToolCall(id, string("name"), string("raw"), reason.orEmpty())
        } else {
            ToolCall(id, string("name"), objectOf(arguments, id), string("raw"))
        }
    }

@Suppress("UNCHECKED_CAST") // keys of JSON are strings
private fun objectOf(json: String, id: String): Map<String, Any?> =
    try {
        Json.parse(json) as? Map<String, Any?>
    } catch (_: JsonException) {
        null
    } ?: throw Misfit("the call '${id.take(40)}' has arguments that are no object")
