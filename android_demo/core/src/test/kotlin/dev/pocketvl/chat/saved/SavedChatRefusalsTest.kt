package dev.pocketvl.chat.saved

import dev.pocketvl.Chats
import dev.pocketvl.ConversationException
import dev.pocketvl.about
import dev.pocketvl.chat.ChatOptions
import dev.pocketvl.json.Json
import dev.pocketvl.listOf
import dev.pocketvl.members
import dev.pocketvl.text.Shape
import dev.pocketvl.tokens
import org.junit.jupiter.api.io.TempDir
import java.io.File
import java.security.MessageDigest
import kotlin.random.Random
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

/** Saved conversations that are damaged or forged are refused, and nothing of them is taken. */
class SavedChatRefusalsTest {
    @TempDir
    lateinit var folder: File
    private val file get() = File(folder, "saved")
    private val chats = Chats()
    private val model = chats.model()

    @AfterTest
    fun close() = model.close()

    /** Written again with a sound hash. */
    private fun changed(change: (MutableMap<String, Any?>, MutableMap<String, dev.pocketvl.CacheTensor>) -> Unit) {
        val read = TensorFile.read(file, 1L shl 30)
        val value = LinkedHashMap(Json.parse(read.texts.getValue("conversation")).members())
        val tensors = LinkedHashMap(read.tensors)
        change(value, tensors)
        TensorFile(mapOf("conversation" to Json.write(value)), tensors).write(file)
    }

    private fun put(value: Any?, keys: List<Any>, to: Any?): Any? {
        val key = keys.firstOrNull() ?: return to
        return when (key) {
            is Int -> value.listOf<Any?>().mapIndexed { i, each -> if (i == key) put(each, keys.drop(1), to) else each }
            else -> value.members() + (key as String to put(value.members()[key], keys.drop(1), to))
        }
    }

    @Test
    fun `another bundle's chat is refused, and so is what the engine does not take`() {
        val chat = model.chat()
        chat.askBlocking("one", tokens(4))
        chat.save(file)
        val manifest = chats.manifest
        for (other in listOf(
            manifest.copy(target = "onnx"),
            manifest.copy(files = manifest.files.map { it.copy(sha256 = "0".repeat(64)) }),
        )) {
            val refused = assertFailsWith<ConversationException> { readChat(file, other) }
            assertContains(refused.message!!, "another bundle")
        }
        changed { _, tensors -> tensors["cache.more"] = tensors.getValue("cache.states") }
        val refused = assertFailsWith<ConversationException> { model.loadChat(file) }
        assertContains(refused.message!!, "not those of this model")
        assertEquals(0, chats.fake.text.cache.size)
    }

    @Test
    fun `what does not fit together is refused, even with a sound hash`() {
        val chat = model.chat(ChatOptions(system = "Be brief."))
        chats.fake.eos = null // so that every answer has all its tokens
        chat.askBlocking(about(1), tokens(4))
        chat.askBlocking(about(2) + Shape.boxInPixels(0.0, 0.0, 42.0, 42.0), tokens(3))
        chat.save(file)
        val sound = file.readBytes()
        val cases =
            listOf(
                listOf("version") to 2,
                listOf("version") to "1",
                listOf("more") to 1,
                listOf("messages", 0, "role") to "tool",
                listOf("messages", 1, "parts") to emptyList<Any>(),
                listOf("messages", 1, "parts", 0, "type") to "text",
                listOf("messages", 1, "parts", 0, "type") to "audio",
                listOf("messages", 3, "parts", 2, "numbers") to listOf(0, 0, 5000, 1),
                listOf("messages", 3, "parts", 2, "numbers") to listOf(0, 0, 5),
                listOf("tools") to "{}",
                listOf("tools") to "[",
                listOf("tools") to """[{"name": "a b", "description": "", "parameters": {"type": "object"}}]""",
                listOf("turns") to emptyList<Any>(),
                listOf("turns", 0, "slots") to 3,
                listOf("turns", 1, "slots") to -3,
                listOf("turns", 1, "slots") to 8,
                listOf("turns", 1, "messages") to 2,
                listOf("turns", 2, "messages") to (1L shl 60),
                listOf("turns", 2, "slots") to Int.MAX_VALUE,
                listOf("turns", 1, "answer_start") to Int.MAX_VALUE,
                listOf("turns", 2, "image_sizes") to 0,
                listOf("image_sizes") to listOf(listOf(84, 84)),
                listOf("image_sizes", 0) to listOf(0, 84),
                listOf("images", 0, "grid") to listOf(1, 6, 7),
                listOf("images", 0, "grid") to listOf(1, 6),
                listOf("images", 0, "grid") to listOf(2, 1000000000, 1000000000),
                listOf("images", 0, "key") to "",
                listOf("images", 1, "key") to "a".repeat(1000),
                listOf("media", 0) to 7,
                listOf("media", 0) to -1,
                listOf("media") to listOf(0, 1, 0),
                listOf("cached_slots") to 0,
                listOf("cached_slots") to Int.MAX_VALUE,
                listOf("options", "max_pixels") to "x",
                listOf("options") to null,
            )
        for ((keys, to) in cases) {
            file.writeBytes(sound)
            changed { value, _ -> put(value, keys, to).members().let { value.putAll(it) } }
            assertFailsWith<ConversationException>("$keys to $to") { model.loadChat(file) }
        }
        val tensors =
            mapOf(
                "token_ids" to listOf(-1L, 1L shl 40, 5000L),
                "positions" to listOf(7L, -1L),
                "media" to listOf(0L, -2L),
            )
        for ((name, values) in tensors) {
            for (first in values) {
                file.writeBytes(sound)
                changed { _, all ->
                    val tensor = all.getValue(name)
                    val bytes =
                        java.nio.ByteBuffer
                            .wrap(tensor.bytes.copyOf())
                            .order(java.nio.ByteOrder.LITTLE_ENDIAN)
                    bytes.putLong(0, first)
                    all[name] = dev.pocketvl.CacheTensor(tensor.dtype, tensor.shape, bytes.array())
                }
                assertFailsWith<ConversationException>("$name begins with $first") { model.loadChat(file) }
            }
        }
        file.writeBytes(sound)
        model.loadChat(file)
    }

    /** -Dpocketvl.mutations=100000 for more than a few. */
    @Test
    fun `random damage is refused by name, the hash made sound again`() {
        val chat = model.chat(ChatOptions(system = "Be brief."))
        chat.askBlocking(about(1), tokens(4))
        chat.askBlocking(about(1) + Shape.boxInPixels(0.0, 0.0, 42.0, 42.0), tokens(3))
        chat.save(file)
        val whole = file.readBytes().let { it.copyOf(it.size - 32) }
        val header =
            java.nio.ByteBuffer
                .wrap(whole)
                .order(java.nio.ByteOrder.LITTLE_ENDIAN)
                .getLong(0)
                .toInt()
        val random = Random(Integer.getInteger("pocketvl.seed", 0))
        val count = Integer.getInteger("pocketvl.mutations", 600)
        var accepted = 0
        repeat(count) {
            var damaged = whole.copyOf()
            repeat(random.nextInt(1, 4)) {
                // Mostly in the header, where the meaning is.
                val most = if (random.nextInt(4) == 0) damaged.size else minOf(damaged.size, 8 + header + 2000)
                val place = random.nextInt(most)
                when (random.nextInt(4)) {
                    0 -> {
                        damaged =
                            damaged.copyOf(place) + damaged.copyOfRange(minOf(damaged.size, place + 8), damaged.size)
                    }

                    1 -> {
                        damaged[place] = "0123456789-\"{}[],:e".random(random).code.toByte()
                    }

                    else -> {
                        damaged[place] = random.nextInt(256).toByte()
                    }
                }
            }
            file.writeBytes(damaged + MessageDigest.getInstance("SHA-256").digest(damaged))
            try {
                readChat(file, chats.manifest)
                accepted++ // other letters of a message or a key: nothing that could be known
            } catch (_: ConversationException) {
            }
        }
        println("$accepted of $count mutations were read")
        assertTrue(accepted < count / 2, "$accepted of $count")
    }
}
