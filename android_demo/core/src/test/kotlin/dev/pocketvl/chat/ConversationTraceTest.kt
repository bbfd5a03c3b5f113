package dev.pocketvl.chat

import dev.pocketvl.Chats
import dev.pocketvl.Golden
import dev.pocketvl.int
import dev.pocketvl.listOf
import dev.pocketvl.media.RgbImage
import dev.pocketvl.media.contentKey
import dev.pocketvl.members
import dev.pocketvl.text.ImagePart
import dev.pocketvl.text.Message
import dev.pocketvl.text.Part
import dev.pocketvl.text.Role
import dev.pocketvl.text.TextPart
import dev.pocketvl.text.Tokenizer
import dev.pocketvl.tokens
import java.io.File
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertEquals

/** A chat follows the golden trace of a conversation: slots, positions and what is fed. */
class ConversationTraceTest {
    private val golden = Golden.read("conversation_trace")
    private val turns = golden["turns"].listOf<Map<String, Any?>>()
    private val chats = Chats(maxContext = 200)
    private val text = chats.fake.text
    private val model = chats.model()
    private val chat = model.chat()

    @AfterTest
    fun close() = model.close()

    private fun painted(name: String): RgbImage {
        val size = golden["images"].members()[name].members()
        val width = size["width"].int()
        val height = size["height"].int()
        val channel = listOf("cat", "house", "dog").indexOf(name) // red, green, blue
        return RgbImage(width, height, ByteArray(3 * width * height) { if (it % 3 == channel) -1 else 0 })
    }

    private fun message(value: Any?): Message {
        val members = value.members()
        val role = Role.entries.first { it.label == members["role"] }
        val content = members["content"]
        if (content is String) return Message(role, content)
        val parts =
            content.listOf<Map<String, Any?>>().map<Map<String, Any?>, Part> { part ->
                if (part["type"] ==
                    "image"
                ) {
                    ImagePart(painted(part["image"] as String))
                } else {
                    TextPart(part["text"] as String)
                }
            }
        return Message(role, parts)
    }

    private fun ints(value: Any?): List<Int> = value.listOf<Long>().map { it.toInt() }

    private fun ask(turn: Map<String, Any?>): Answer {
        val messages = turn["messages"].listOf<Any?>().map { message(it) }
        val content =
            if (messages[0].role == Role.SYSTEM) Content.Messages(messages) else Content.Parts(messages[0].parts)
        val generated = ints(turn["generated"])
        text.follow(generated)
        return chat.askBlocking(content, tokens(generated.size))
    }

    @Test
    fun `nine turns on one cache`() {
        val start = chat.conversation
        val after = ArrayList<Conversation>()
        val names = golden["images"].members().keys.associateBy { contentKey(painted(it)) }
        for (turn in turns) {
            chat.conversation = turn["after"]?.let { after[it.int()] } ?: start
            text.fed.clear()
            val answer = ask(turn)
            val feed = chat.conversation.feed
            val prompt = turn["answer_start"].int()
            val name = turn["name"] as String
            assertEquals(ints(turn["prompt_ids"]), answer.promptTokenIds, name)
            val runs =
                turn["images_of_slots"].listOf<List<Any?>>().flatMap { (key, count) ->
                    List(count.int()) { key }
                }
            assertEquals(runs, feed.mediaKeys.take(prompt).map { names[it] }, name)
            val positions = turn["positions"].listOf<Any?>().map { ints(it) }
            assertEquals(positions, feed.positions.map { it.take(prompt) }, name)
            assertEquals(turn["kept"].int(), answer.statistics.reusedTokens, name)
            assertEquals(turn["fed"].int(), answer.statistics.prefillTokens, name)
            assertEquals(turn["kept"].int(), text.fed[0].first, name)
            assertEquals(turn["fed"].int() + ints(turn["generated"]).size - 1, text.fed.sumOf { it.second }, name)
            assertEquals(prompt, chat.conversation.answerStart, name)
            assertEquals(turn["slots"].int() to turn["next_position"].int(), feed.size to chat.nextPosition, name)
            assertEquals(turn["cached_slots"].int(), text.cache.size, name)
            after += chat.conversation
        }
    }

    @Test
    fun `an answer made anew follows the trace, as regenerate and as a whole list of messages`() {
        for (turn in turns.take(2) + turns[3]) ask(turn)
        val again = turns[4]
        text.follow(ints(again["generated"]))
        val answer = chat.regenerateBlocking(tokens(9))
        assertEquals(ints(again["prompt_ids"]), answer.promptTokenIds)
        assertEquals(1 to 1, again["fed"].int() to answer.statistics.prefillTokens)
        assertEquals(
            again["slots"].int() to again["next_position"].int(),
            chat.conversation.feed.size to chat.nextPosition,
        )
        val tokenizer = Tokenizer(File(chats.folder, "tokenizer.json"))
        val whole =
            turns.take(2).flatMap { turn ->
                val said = tokenizer.decode(ints(turn["generated"]).toIntArray())
                turn["messages"].listOf<Any?>().map { message(it) } + Message(Role.ASSISTANT, said)
            } + again["messages"].listOf<Any?>().map { message(it) }
        text.follow(ints(again["generated"]))
        val given = chat.askBlocking(Content.Messages(whole), tokens(9))
        assertEquals(ints(again["prompt_ids"]), given.promptTokenIds)
        assertEquals(1, given.statistics.prefillTokens)
    }
}
