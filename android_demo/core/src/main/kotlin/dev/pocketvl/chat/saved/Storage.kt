package dev.pocketvl.chat.saved

import dev.pocketvl.CacheTensor
import dev.pocketvl.ConversationException
import dev.pocketvl.ManifestException
import dev.pocketvl.PromptException
import dev.pocketvl.UsageException
import dev.pocketvl.bundle.Manifest
import dev.pocketvl.bundle.Members
import dev.pocketvl.bundle.readStrictly
import dev.pocketvl.bundle.toInt
import dev.pocketvl.chat.Conversation
import dev.pocketvl.chat.keptMessages
import dev.pocketvl.decoding.Feed
import dev.pocketvl.json.Json
import dev.pocketvl.json.JsonException
import dev.pocketvl.media.PixelSize
import dev.pocketvl.text.ImagePart
import dev.pocketvl.text.Message
import dev.pocketvl.text.Role
import dev.pocketvl.text.mediaOf
import dev.pocketvl.text.tools.Tool
import dev.pocketvl.text.tools.ToolSet
import java.io.File
import java.io.IOException

// A conversation in a file, to go on with after a restart: without its images, with their embeddings.
//
// The file is a TensorFile. Its text "conversation" is the JSON that writeChat makes; its tensors are those of
// Slots.kt and, named "cache." and what SavesCache calls them, keys and values of the first slots. It goes with
// bundles of the same files alone: another model's embeddings and keys mean nothing. Python reads and writes the same.

private const val VERSION = 1
private const val TEXT = "conversation"
private const val CACHE = "cache."
private val KEYS =
    listOf("version", "bundle", "target", "options", "messages", "tools", "parallel_tool_calls", "turns") +
        listOf("image_sizes", "images", "media", "cached_slots")

/** What a session was made with; its system turn is a message. */
internal data class SessionOptions(
    val minPixels: Int? = null,
    val maxPixels: Int? = null,
    val addVisionId: Boolean = false,
    val stopRepetition: Boolean = true,
)

/** [cache]: keys and values of the conversation's first [cachedSlots] slots; empty where the engine gave none. */
internal class SavedChat(
    val options: SessionOptions,
    val conversation: Conversation,
    val cachedSlots: Int,
    val cache: Map<String, CacheTensor>,
)

/** How much of everything a conversation has that this one begins with; the last is all of it. */
private class StoredTurn(val messages: Int, val slots: Int, val imageSizes: Int, val answerStart: Int)

/** Replaces [file], or leaves it as it was. Throws [ConversationException]. */
internal fun writeChat(file: File, manifest: Manifest, chat: SavedChat) {
    val last = chat.conversation
    val slots = storedSlots(last.feed)
    val beginnings = generateSequence(last) { it.before }.toList().asReversed()
    val saved =
        mapOf(
            "version" to VERSION,
            "bundle" to manifest.contentSha256,
            "target" to manifest.target,
            "options" to
                mapOf(
                    "min_pixels" to chat.options.minPixels,
                    "max_pixels" to chat.options.maxPixels,
                    "add_vision_id" to chat.options.addVisionId,
                    "stop_repetition" to chat.options.stopRepetition,
                ),
            "messages" to last.messages.map { stored(it) },
            "tools" to Json.write(last.tools.tools.map { storedTool(it) }),
            "parallel_tool_calls" to last.tools.parallel,
            "turns" to
                beginnings.map {
                    mapOf(
                        "messages" to it.messages.size,
                        "slots" to it.feed.size,
                        "image_sizes" to it.imageSizes.size,
                        "answer_start" to it.answerStart,
                    )
                },
            "image_sizes" to last.imageSizes.map { listOf(it.height, it.width) },
            "images" to slots.images.map { mapOf("key" to it.key, "grid" to it.grid) },
            "media" to slots.media,
            "cached_slots" to chat.cachedSlots,
        )
    val cache = chat.cache.entries.associate { (name, tensor) -> "$CACHE$name" to tensor }
    try {
        TensorFile(mapOf(TEXT to Json.write(saved)), slots.tensors + cache).write(file)
    } catch (error: IOException) {
        throw ConversationException(
            "The conversation cannot be saved as ${shortened(file)} (${error.message}); check the path and the space" +
                " there.",
        )
    }
}

/** What [writeChat] wrote with a bundle of the same files. Throws [ConversationException] for anything else. */
internal fun readChat(file: File, manifest: Manifest): SavedChat {
    val read = TensorFile.read(file, mostData(manifest))
    try {
        return readStrictly(Json.parse(read.texts[TEXT] ?: "null"), "the conversation", KEYS) {
            chatOf(file, read.tensors, manifest)
        }
    } catch (error: Exception) {
        val isMeant =
            error is JsonException || error is Misfit || error is ManifestException || error is PromptException
        if (!isMeant) throw error
        val reason = error.message?.trimEnd('.')
        throw ConversationException("${shortened(file)} is no saved conversation of this pocketvl ($reason).")
    }
}

private fun Members.chatOf(file: File, tensors: Map<String, CacheTensor>, manifest: Manifest): SavedChat {
    val version = int("version")
    if (version != VERSION) throw Misfit("it has the version $version, but this pocketvl reads $VERSION")
    if (string("bundle") != manifest.contentSha256 || string("target") != manifest.target) {
        throw ConversationException(
            "${shortened(file)} was saved with another bundle; open it with that one, or begin anew.",
        )
    }
    val (cached, own) = tensors.entries.partition { it.key.startsWith(CACHE) }
    val cache = cached.associate { it.key.removePrefix(CACHE) to it.value }
    val slots = StoredSlots(list("images", ::storedImage), list("media", ::toInt), own.associate { it.toPair() })
    val feed = feedOf(slots, manifest)
    val cachedSlots = int("cached_slots")
    if (cachedSlots !in 0..feed.size || cache.isEmpty() != (cachedSlots == 0)) {
        throw Misfit("its keys and values are of other slots")
    }
    return SavedChat(options(this["options"], at("options")), conversationOf(feed), cachedSlots, cache)
}

private fun storedImage(value: Any?, where: String): StoredImage =
    readStrictly(value, where, listOf("key", "grid")) { StoredImage(string("key"), triple("grid", ::toInt)) }

private fun options(value: Any?, where: String): SessionOptions {
    val pixels = setOf("min_pixels", "max_pixels")
    return readStrictly(value, where, pixels.toList() + listOf("add_vision_id", "stop_repetition"), pixels) {
        SessionOptions(
            intOrNull("min_pixels"),
            intOrNull("max_pixels"),
            boolean("add_vision_id"),
            boolean("stop_repetition"),
        )
    }
}

/** Bytes of the largest conversation that a bundle's context holds. */
private fun mostData(manifest: Manifest): Long {
    val text = manifest.geometry.text
    val cache = text.numLayers * 2L * text.numKvHeads * text.headDim * 4
    return (manifest.maxContext + 1) * (cache + text.hiddenSize * 4L + 5 * 8)
}

private fun Members.conversationOf(feed: Feed): Conversation {
    val sides = list("image_sizes", ::storedSides)
    val messages = withEmbeddings(list("messages", ::messageOf), feed, sides)
    val numbers = mediaNumbers(feed)
    val tools = tools()
    var found: Conversation? = null
    for (turn in list("turns", ::storedTurn)) {
        if (!follows(turn, found, messages)) throw Misfit("its turns are out of order")
        if (turn.slots > feed.size || turn.imageSizes > sides.size) throw Misfit("a turn is longer than all of them")
        for (cut in listOf(turn.answerStart, turn.slots)) {
            if (cut in 1 until feed.size && numbers[cut - 1] == numbers[cut] && numbers[cut] >= 0) {
                throw Misfit("a turn ends within an image")
            }
        }
        found =
            Conversation(
                messages.take(turn.messages),
                feed.first(turn.slots),
                sides.take(turn.imageSizes),
                found,
                turn.answerStart,
                if (turn.slots > 0) tools else ToolSet(), // named with the first question
            )
    }
    val isAll =
        found != null && found.messages.size == messages.size && found.feed.size == feed.size &&
            found.imageSizes.size == sides.size
    return found.takeIf { isAll } ?: throw Misfit("its turns are not all of it")
}

/** Height, width. */
private fun storedSides(value: Any?, where: String): PixelSize {
    val sides = (value as? List<*>).orEmpty().map { toInt(it, where) }
    if (sides.size != 2 || sides.any { it < 1 }) throw Misfit("an image has no size")
    return PixelSize(sides[0], sides[1])
}

private fun storedTurn(value: Any?, where: String): StoredTurn =
    readStrictly(value, where, listOf("messages", "slots", "image_sizes", "answer_start")) {
        StoredTurn(int("messages"), int("slots"), int("image_sizes"), int("answer_start"))
    }

/** Whether a turn may come after that conversation, or at the start of all. */
private fun follows(turn: StoredTurn, before: Conversation?, messages: List<Message>): Boolean {
    if (turn.messages !in 0..messages.size) return false
    if (before == null) {
        val isSystem = messages.take(turn.messages).all { it.role == Role.SYSTEM }
        return isSystem && turn.slots == 0 && turn.imageSizes == 0 && turn.answerStart == 0
    }
    return turn.messages > before.messages.size &&
        messages[turn.messages - 1].role == Role.ASSISTANT &&
        turn.answerStart in before.feed.size + 1..turn.slots &&
        turn.imageSizes >= before.imageSizes.size
}

/** Each image has its embeddings as the source. */
private fun withEmbeddings(messages: List<Message>, feed: Feed, sizes: List<PixelSize>): List<Message> {
    val parts = mediaOf(messages)
    if (parts.size != feed.media.size || parts.count { it is ImagePart } != sizes.size) {
        throw Misfit("its messages have other images than its slots")
    }
    return keptMessages(messages, feed.media, sizes)
}

private fun storedTool(tool: Tool): Map<String, Any?> =
    mapOf("name" to tool.name, "description" to tool.description, "parameters" to tool.parameters)

/** Without handlers, which no file holds. */
private fun Members.tools(): ToolSet {
    val given = Json.parse(string("tools")) as? List<*> ?: throw Misfit("its tools are no list")
    try {
        return ToolSet(given.mapIndexed { i, each -> toolOf(each, "tools[$i]") }, boolean("parallel_tool_calls"))
    } catch (error: UsageException) {
        throw Misfit(error.message.orEmpty())
    }
}

@Suppress("UNCHECKED_CAST") // keys of JSON are strings
private fun toolOf(value: Any?, where: String): Tool =
    readStrictly(value, where, listOf("name", "description", "parameters")) {
        val parameters = this["parameters"] as? Map<String, Any?>
        Tool(string("name"), string("description"), parameters ?: throw Misfit("$where.parameters must be an object"))
    }
