package dev.pocketvl.chat.saved

import dev.pocketvl.Chats
import dev.pocketvl.Golden
import dev.pocketvl.about
import dev.pocketvl.bundle.FileRecord
import dev.pocketvl.bundle.Manifest
import dev.pocketvl.bundle.SpecialTokens
import dev.pocketvl.chat.ChatOptions
import dev.pocketvl.int
import dev.pocketvl.listOf
import dev.pocketvl.media.EncodedImage
import dev.pocketvl.members
import dev.pocketvl.text.CallPart
import dev.pocketvl.text.ImagePart
import dev.pocketvl.text.Message
import dev.pocketvl.text.ObjectRef
import dev.pocketvl.text.Shape
import dev.pocketvl.text.TextPart
import dev.pocketvl.text.VideoPart
import dev.pocketvl.text.tools.InvalidToolCall
import dev.pocketvl.text.tools.ToolCall
import dev.pocketvl.tokens
import org.junit.jupiter.api.io.TempDir
import java.io.File
import java.util.Base64
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertIs

class StorageTest {
    @TempDir
    lateinit var folder: File
    private val file get() = File(folder, "saved")
    private val chats = Chats()
    private val model = chats.model()
    private val golden = Golden.read("saved_chat")

    @AfterTest
    fun close() = model.close()

    private fun goldenManifest(): Manifest {
        val data = golden["manifest"].members()
        val ids = data["special_tokens"].members()
        val special = { name: String -> ids[name].int() }
        assertEquals(chats.manifest.geometry.text.hiddenSize, data["hidden_size"].int())
        assertEquals(chats.manifest.geometry.text.vocabSize, data["vocab_size"].int())
        return chats.manifest.copy(
            files = data["files"].members().map { (name, digest) -> FileRecord(name, 1, digest as String) },
            target = data["target"] as String,
            maxContext = data["max_context"].int(),
            specialTokens =
                SpecialTokens(
                    special("image_pad"),
                    special("video_pad"),
                    special("vision_start"),
                    special("vision_end"),
                    listOf(special("im_end")),
                    special("im_end"),
                ),
        )
    }

    /** As the golden file says it. */
    private fun plain(message: Message): Map<String, Any?> =
        mapOf(
            "role" to message.role.label,
            "parts" to
                message.parts.map { part ->
                    val own =
                        when (part) {
                            is TextPart -> mapOf("type" to "text", "text" to part.text)
                            is ObjectRef -> mapOf("type" to "object_ref", "text" to part.text)
                            is Shape -> mapOf("type" to part.kind.label, "numbers" to part.numbers)
                            is ImagePart -> mapOf("type" to "image")
                            is VideoPart -> mapOf("type" to "video")
                            is CallPart -> mapOf("type" to "tool_call", "call" to plain(part))
                            else -> error("$part")
                        }
                    mapOf("type" to null, "text" to null, "numbers" to null, "call" to null) + own
                },
        )

    private fun plain(part: CallPart): Map<String, Any?> {
        val call = part.call
        val own = mapOf("id" to call.id, "name" to call.name, "raw" to call.raw)
        return when (call) {
            is ToolCall -> own + mapOf("arguments" to call.arguments, "reason" to null)
            is InvalidToolCall -> own + mapOf("arguments" to null, "reason" to call.reason)
        }
    }

    @Test
    fun `what each language wrote is read, and written as Kotlin does`() {
        val manifest = goldenManifest()
        val expected = golden["expected"].members()
        assertEquals(expected["content_sha256"], manifest.contentSha256)
        for (language in listOf("python", "kotlin")) {
            file.writeBytes(Base64.getDecoder().decode(golden[language] as String))
            val chat = readChat(file, manifest)
            val last = chat.conversation
            assertEquals(expected["token_ids"].listOf<Long>().map { it.toInt() }, last.feed.tokenIds.toList())
            val positions = expected["positions"].listOf<List<Long>>().map { axis -> axis.map { it.toInt() } }
            assertEquals(positions, last.feed.positions.map { it.toList() })
            assertEquals(expected["next_position"].int(), last.feed.nextPosition)
            assertEquals(expected["messages"], last.messages.map { plain(it) })
            assertEquals(expected["cached_slots"].int(), chat.cachedSlots)
            assertEquals(setOf("keys", "values"), chat.cache.keys)
            assertEquals(0.125f, last.feed.media[1].embeddings[0, 1])
            val turns = generateSequence(last) { it.before }.toList().asReversed()
            for ((turn, found) in expected["turns"].listOf<Map<String, Any?>>().zip(turns)) {
                assertEquals(turn["slots"].int(), found.feed.size)
                assertEquals(turn["messages"].int(), found.messages.size)
                assertEquals(turn["answer_start"].int(), found.answerStart)
            }
            assertEquals(listOf("tap"), last.tools.names)
            assertEquals(emptyList(), turns[0].tools.names)
            assertEquals(7056, chat.options.maxPixels)
            val again = File(folder, "again")
            writeChat(again, manifest, chat)
            assertContentEquals(Base64.getDecoder().decode(golden["kotlin"] as String), again.readBytes())
        }
    }

    @Test
    fun `a restored chat goes on as the one that was saved`() {
        val chat = model.chat(ChatOptions(system = "Be brief.", maxPixels = 84 * 84))
        chat.askBlocking(about(1), tokens(4))
        chat.askBlocking(about(2) + about(1) + Shape.boxInPixels(0.0, 0.0, 42.0, 42.0) + ObjectRef("sign"), tokens(3))
        chat.save(file)
        val expected = chat.askBlocking("And now?", tokens(9))
        val encoded =
            chats.fake.vision.encoded
                .get()
        for (engine in listOf(chats.fake, chats.engine())) {
            val other = if (engine === chats.fake) model else chats.model(engine)
            val restored = other.loadChat(file)
            assertIs<EncodedImage>((restored.conversation.messages[1].parts[0] as ImagePart).source)
            val answer = restored.askBlocking("And now?", tokens(9))
            assertEquals(expected.tokenIds to expected.promptTokenIds, answer.tokenIds to answer.promptTokenIds)
            assertEquals(expected.statistics.reusedTokens, answer.statistics.reusedTokens)
            assertEquals(
                encoded,
                chats.fake.vision.encoded
                    .get(),
            )
            restored.reset()
            assertEquals(1, restored.conversation.messages.size)
            if (other !== model) other.close()
        }
    }
}
