package dev.pocketvl.text

import dev.pocketvl.PromptException
import dev.pocketvl.media.ImageSize
import dev.pocketvl.media.ImageSource
import dev.pocketvl.media.PixelSize
import dev.pocketvl.media.video.FrameSource
import dev.pocketvl.media.video.VideoOptions
import dev.pocketvl.text.tools.AnyToolCall
import dev.pocketvl.text.tools.inOrderOfCalls

/** Who says a message; [label] is the name in chat APIs. */
enum class Role(val label: String) {
    SYSTEM("system"),
    USER("user"),
    ASSISTANT("assistant"),
    TOOL("tool"),
}

/** A piece of a message: [TextPart], [ImagePart], [VideoPart], [ObjectRef], [Shape] or [CallPart]. */
sealed interface Part

/** What is said. Whatever it holds is text: no special token is read out of it. */
data class TextPart(val text: String) : Part

/** The name of an object, between the tokens that mark it as one. */
data class ObjectRef(val text: String) : Part

/** A part that becomes placeholder tokens. */
sealed interface MediaPart : Part

/** [source] is null in a restored conversation, which keeps an image's embeddings and not the image. */
data class ImagePart
    @JvmOverloads
    constructor(val source: ImageSource?, val size: ImageSize = ImageSize()) :
    MediaPart

/** [source] is null in a restored conversation. */
data class VideoPart
    @JvmOverloads
    constructor(
        val source: FrameSource?,
        val options: VideoOptions = VideoOptions(),
    ) : MediaPart

/** A call of a tool by the assistant. */
data class CallPart(val call: AnyToolCall) : Part

/** The end of an assistant's message that goes on in the same turn; only prompts hold it. */
internal data object GoesOn : Part

/**
 * One message of a conversation.
 *
 * Of the role [Role.TOOL] it is the result of one call, that of the id [toolCallId]; results without an id are in
 * the order of the calls before them.
 */
data class Message
    @JvmOverloads
    constructor(
        val role: Role,
        val parts: List<Part>,
        val toolCallId: String? = null,
    ) {
        constructor(role: Role, text: String) : this(role, listOf(TextPart(text)))

        /** Of tools, by the assistant. */
        val calls: List<AnyToolCall> get() = parts.mapNotNull { (it as? CallPart)?.call }
    }

/**
 * The messages with tools' results in the order of the calls that they answer, without their ids.
 *
 * Throws [PromptException], which names the message and what is wrong with it.
 */
fun checkMessages(messages: List<Message>): List<Message> {
    if (messages.isEmpty()) throw PromptException("Messages must be a list with at least one message.")
    val checked = ArrayList<Message>(messages.size)
    var start = 0
    while (start < messages.size) {
        checkMessage(messages[start], start)
        if (messages[start].role != Role.TOOL) {
            checked.add(messages[start++])
            continue
        }
        var end = start
        while (end < messages.size && messages[end].role == Role.TOOL) checkMessage(messages[end], end++)
        val calls = checked.lastOrNull()?.calls.orEmpty()
        checked.addAll(inOrderOfCalls(calls, messages.subList(start, end), "messages[$start]"))
        if (end < messages.size && messages[end].role != Role.ASSISTANT) {
            throw PromptException("messages[$end] must be the assistant's, which replies to the results.")
        }
        start = end
    }
    return checked
}

/** The results of all of these [calls], and nothing else, in their order. Throws [PromptException]. */
fun checkResults(messages: List<Message>, calls: List<AnyToolCall>): List<Message> {
    messages.forEachIndexed { i, message ->
        if (message.role != Role.TOOL) {
            throw PromptException("messages[$i] is no tool's; results are given alone, the answer goes on after.")
        }
        checkMessage(message, i)
    }
    return inOrderOfCalls(calls, messages, "messages[0]")
}

/**
 * As [checkMessages], for a whole conversation that waits for an answer: system first or nowhere, last a user's turn
 * or tools' results.
 */
fun checkConversation(messages: List<Message>): List<Message> {
    val checked = checkMessages(messages)
    checked.forEachIndexed { i, message ->
        if (message.role == Role.SYSTEM && i > 0) {
            throw PromptException("messages[$i] is a system message; there can be one, and it comes first.")
        }
    }
    val last = checked.last().role
    if (last != Role.USER && last != Role.TOOL) {
        throw PromptException(
            "The last message has the role ${last.label}; end with the user's, which is answered, or with a tool's" +
                " result.",
        )
    }
    return checked
}

/** The images and videos in order of appearance. */
fun mediaOf(messages: List<Message>): List<MediaPart> = messages.flatMap { it.parts.filterIsInstance<MediaPart>() }

/**
 * Their shapes in thousandths. [sizes] are those of the conversation's images, [earlier] of them before.
 *
 * Throws [PromptException] for a shape that lies in no image.
 */
internal fun withThousandths(messages: List<Message>, sizes: List<PixelSize>, earlier: Int): List<Message> {
    var seen = earlier
    return messages.map { message ->
        val parts =
            message.parts.map { part ->
                if (part is ImagePart) seen++
                if (part is Shape) inThousandths(part, if (part.image != null) sizes else sizes.take(seen)) else part
            }
        Message(message.role, parts)
    }
}

private fun checkMessage(message: Message, index: Int) {
    val where = "messages[$index]"
    if (message.parts.isEmpty()) {
        throw PromptException(
            "The content of $where must be a list of parts, not an empty list; a part is a TextPart or an ImagePart.",
        )
    }
    if (message.role != Role.ASSISTANT && message.calls.isNotEmpty()) {
        throw PromptException("$where calls a tool, which only the assistant does.")
    }
    if (message.role != Role.TOOL && message.toolCallId != null) {
        throw PromptException("$where gives a toolCallId, which only a tool's result has.")
    }
    if (GoesOn in message.parts) throw PromptException("$where holds a mark that only prompts hold; leave it out.")
    checkCalls(message.calls, where)
}

private fun checkCalls(calls: List<AnyToolCall>, where: String) {
    val ids = HashSet<String>()
    for (call in calls) {
        if (!ids.add(
                call.id,
            )
        ) {
            throw PromptException("$where has the call id '${call.id}' twice; each call needs one of its own.")
        }
    }
}
