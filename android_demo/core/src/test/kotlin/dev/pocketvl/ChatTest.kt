package dev.pocketvl

import dev.pocketvl.chat.AskOptions
import dev.pocketvl.chat.ChatOptions
import dev.pocketvl.chat.Content
import dev.pocketvl.chat.Sampling
import dev.pocketvl.decoding.StopReason
import dev.pocketvl.media.PixelSize
import dev.pocketvl.text.ImagePart
import dev.pocketvl.text.Shape
import dev.pocketvl.text.TextPart
import dev.pocketvl.text.Tokenizer
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import java.io.File
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertNotEquals
import kotlin.test.assertSame
import kotlin.test.assertTrue

class ChatTest {
    private val chats = Chats()
    private val model = chats.model()
    private val chat = model.chat()
    private val eos = chats.manifest.specialTokens.eos[0]

    @AfterTest
    fun close() = model.close()

    @Test
    fun `events are started, pieces of text, and one completed`() =
        runBlocking {
            val events = chat.ask(about(1), tokens(12)).toList()
            val started = assertIs<Event.Started>(events.first())
            val answer = assertIs<Event.Completed>(events.last()).answer
            val pieces = events.drop(1).dropLast(1).map { assertIs<Event.Text>(it).piece }
            assertEquals(answer.text, pieces.joinToString(""))
            assertTrue(pieces.all { it.isNotEmpty() })
            assertEquals(answer.promptTokenIds.size to 0, started.promptTokens to started.reusedTokens)
            assertEquals(answer.promptTokenIds.size, answer.statistics.prefillTokens)
            assertEquals(1 to 0, answer.statistics.imagesEncoded to answer.statistics.imagesCached)
        }

    @Test
    fun `the answer of a flow is returned or its error thrown`() =
        runBlocking {
            assertEquals(
                chat.ask("one", tokens(3)).answer().text,
                (chat.conversation.messages[1].parts[0] as TextPart).text,
            )
            val refused = assertFailsWith<ContextException> { chat.ask("many words ".repeat(400)).answer() }
            assertContains(refused.message!!, "context holds 320")
        }

    @Test
    fun `max tokens cut, and the next turn closes the answer`() {
        chats.fake.text.follow(listOf(65, 66, 67))
        val first = chat.askBlocking("What does the sign say?", tokens(3))
        assertEquals(3 to StopReason.LENGTH, first.tokenIds.size to first.stopReason)
        val second = chat.askBlocking("And now?", tokens(1))
        assertEquals(eos, second.promptTokenIds[first.promptTokenIds.size + 3])
    }

    @Test
    fun `an answer stops where the context ends, and a prompt over it is refused`() {
        val long = model.chat(ChatOptions(stopRepetition = false))
        chats.fake.text.follow(List(1000) { 65 })
        val answer = long.askBlocking("the quick brown fox", tokens(1000))
        assertEquals(StopReason.CONTEXT, answer.stopReason)
        assertEquals(chats.maxContext + 1, answer.promptTokenIds.size + answer.tokenIds.size)
        assertEquals(0, long.freeContext)
        val before = long.conversation
        val refused = assertFailsWith<ContextException> { long.askBlocking("And now?") }
        assertContains(refused.message!!, "earlier turns")
        assertSame(before, long.conversation)
        assertEquals(StopReason.REPETITION, chat.askBlocking("the", tokens(1000)).stopReason)
    }

    @Test
    fun `boxes of an answer are in pixels of the image`() {
        val tokenizer = Tokenizer(File(chats.folder, Names.TOKENIZER_FILE))
        val said = "<|object_ref_start|>sign<|object_ref_end|><|box_start|>(100,500),(500,1000)<|box_end|><|im_end|>"
        chats.fake.text.follow(tokenizer.encodeTemplate(said).toList())
        val pieces = StringBuilder()
        val parts = listOf(ImagePart(image(0, 84, 112)), Shape.boxInPixels(0.0, 0.0, 42.0, 56.0), TextPart("?"))
        val answer = chat.askBlocking(parts, tokens(90)) { pieces.append(it) }
        assertEquals("sign (100,500),(500,1000)", answer.text)
        assertEquals(answer.text, "$pieces")
        assertEquals(listOf(dev.pocketvl.text.Box("sign", 0, 8.4, 56.0, 42.0, 112.0)), answer.boxes)
        val prompt = tokenizer.decode(answer.promptTokenIds.toIntArray(), skipSpecial = false)
        assertContains(prompt, "<|box_start|>(0,0),(500,500)<|box_end|>")
        assertEquals(listOf(PixelSize(112, 84)), chat.conversation.imageSizes)
    }

    @Test
    fun `a stop string ends the answer before it, and is not in what follows`() {
        chats.fake.text.follow(
            Tokenizer(File(chats.folder, Names.TOKENIZER_FILE)).encode("one two three four").toList(),
        )
        val answer = chat.askBlocking("Count", tokens(50).withStop(" three"))
        assertEquals("one two" to " three", answer.text to answer.stopString)
        assertEquals(StopReason.STOP, answer.stopReason)
        assertEquals(
            listOf(TextPart("one two")),
            chat.conversation.messages
                .last()
                .parts,
        )
    }

    @Test
    fun `a question is measured without encoding`() {
        val counted = chat.countTokens(Content.Parts(about(1)))
        assertEquals(
            0,
            chats.fake.vision.encoded
                .get(),
        )
        assertEquals(counted, chat.askBlocking(about(1), tokens(1)).promptTokenIds.size)
        val measured = chat.measureImage(image(0, 900, 700))
        assertTrue(measured.tokens in 1..16 && measured.width % 28 == 0)
        assertEquals(measured.tokens, measured.width * measured.height / 28 / 28)
    }

    @Test
    fun `an image encoded ahead is asked about without the encoder`() {
        val expected = chat.askBlocking(about(5), tokens(5))
        chat.reset()
        val encoded = chat.encodeImage(image(5))
        val count =
            chats.fake.vision.encoded
                .get()
        val answer = chat.askBlocking(listOf(ImagePart(encoded), TextPart("What?")), tokens(5))
        assertEquals(expected.tokenIds, answer.tokenIds)
        assertEquals(
            count,
            chats.fake.vision.encoded
                .get(),
        )
    }

    @Test
    fun `the encoder is released after each turn with images, unless it is kept`() {
        chat.askBlocking(about(1), tokens(1))
        chat.askBlocking("And?", tokens(1))
        assertEquals(
            1,
            chats.fake.vision.released
                .get(),
        )
        model.chat(ChatOptions(keepVision = true)).askBlocking(about(2), tokens(1))
        assertEquals(
            1,
            chats.fake.vision.released
                .get(),
        )
        model.releaseVision()
        assertEquals(
            2,
            chats.fake.vision.released
                .get(),
        )
    }

    @Test
    fun `an encoder that fails is released, and the conversation stays`() {
        chats.fake.onEncode = { if (it == 2) throw EngineException("no memory") }
        val before = chat.conversation
        assertFailsWith<EngineException> { chat.askBlocking(about(1) + about(2), tokens(2)) }
        assertSame(before, chat.conversation)
        assertEquals(
            1,
            chats.fake.vision.released
                .get(),
        )
        assertEquals(1, chat.askBlocking(about(1) + about(2), tokens(2)).statistics.imagesEncoded)
    }

    @Test
    fun `seeded sampling repeats, and another seed differs`() {
        fun draw(seed: Long): List<Int> {
            chat.reset()
            return chat.askBlocking("What?", AskOptions(12, Sampling(temperature = 5.0, seed = seed))).tokenIds
        }
        assertEquals(draw(1), draw(1))
        assertNotEquals(draw(1), draw(2))
    }

    @Test
    fun `drafts change no token`() {
        val question = "one two three one two three one two three one two"
        val plain = chat.askBlocking(question, tokens(40))
        chat.reset()
        val drafted = chat.askBlocking(question, tokens(40).withLookup(true))
        assertEquals(plain.tokenIds, drafted.tokenIds)
    }

    @Test
    fun `logprobs are those of each token`() {
        val answer = chat.askBlocking("What?", tokens(4).withLogprobs(2))
        assertEquals(answer.tokenIds, answer.logprobs.map { it.tokenId })
        assertTrue(answer.logprobs.all { it.top.size == 2 && it.top[0].tokenId == it.tokenId })
    }

    @Test
    fun `options that cannot be meant are refused at once`() {
        val wrong =
            listOf(
                AskOptions(0),
                AskOptions(sampling = Sampling(-1.0)),
                AskOptions(logprobs = 21),
                AskOptions().withStop(""),
            )
        for (options in wrong) {
            assertFailsWith<UsageException> { chat.ask("Hi", options) }
            assertFailsWith<UsageException> { chat.askBlocking("Hi", options) }
        }
        assertFailsWith<UsageException> { model.chat(ChatOptions(minPixels = 9, maxPixels = 8)) }
        assertFailsWith<PromptException> { chat.askBlocking(emptyList<dev.pocketvl.text.Part>()) }
    }

    @Test
    fun `a placeholder that the model generated is a token like any other`() {
        val pad = chats.manifest.specialTokens.imagePad
        chats.fake.text.follow(listOf(pad, pad, pad))
        val first = chat.askBlocking(about(1), tokens(3))
        assertEquals(listOf(pad, pad, pad), first.tokenIds)
        assertTrue(chat.askBlocking(about(2), tokens(2)).nextPosition > first.nextPosition)
    }
}
