package dev.pocketvl

import dev.pocketvl.chat.Answer
import dev.pocketvl.chat.AskOptions
import dev.pocketvl.chat.ChatOptions
import dev.pocketvl.chat.Content
import dev.pocketvl.chat.Sampling
import dev.pocketvl.decoding.StopReason
import dev.pocketvl.media.EncodedImage
import dev.pocketvl.text.ImagePart
import dev.pocketvl.text.ImageSides
import dev.pocketvl.text.Message
import dev.pocketvl.text.Role
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

    private fun user(content: String) = Message(Role.USER, content)

    private fun user(parts: List<dev.pocketvl.text.Part>) = Message(Role.USER, parts)

    private fun said(answer: Answer) = Message(Role.ASSISTANT, answer.text)

    /** By an engine that has seen nothing else. */
    private fun fresh(vararg questions: Content, count: Int = 6): Answer =
        chats.model(chats.engine()).use { model ->
            val chat = model.chat()
            questions.map { chat.askBlocking(it, tokens(count)) }.last()
        }

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
    fun `a second turn continues the first and feeds only what is new`() {
        val first = chat.askBlocking(about(1), tokens(5))
        val second = chat.askBlocking("And now?", tokens(5))
        val kept = if (first.stopReason == StopReason.STOP) first.tokenIds.dropLast(1) else first.tokenIds
        assertEquals(first.promptTokenIds + kept, second.promptTokenIds.take(first.promptTokenIds.size + kept.size))
        assertEquals(second.promptTokenIds.size, second.statistics.reusedTokens + second.statistics.prefillTokens)
        assertTrue(second.statistics.reusedTokens >= first.promptTokenIds.size + 4)
        assertEquals(fresh(Content.Parts(about(1)), Content.Parts("And now?"), count = 5).tokenIds, second.tokenIds)
    }

    @Test
    fun `what another chat drove out of the cache is fed again`() {
        val other = model.chat()
        chat.askBlocking(about(1), tokens(4))
        other.askBlocking(about(2), tokens(4)) // of the same size: equal token ids, other keys and values
        val second = chat.askBlocking("And now?", tokens(4))
        assertEquals(0, second.statistics.imagesEncoded)
        assertEquals(fresh(Content.Parts(about(1)), Content.Parts("And now?"), count = 4).tokenIds, second.tokenIds)
    }

    @Test
    fun `a fork is a reference, and taking back goes to the one before`() {
        chat.askBlocking(about(3), tokens(4))
        val fork = chat.conversation
        val first = chat.askBlocking("And now?", tokens(4))
        assertSame(fork, chat.conversation.before)
        chat.conversation = fork
        chat.askBlocking("Where?", tokens(4))
        chat.conversation = fork
        val again = chat.askBlocking("And now?", tokens(4))
        assertEquals(first.tokenIds, again.tokenIds)
        assertTrue(again.statistics.prefillTokens < fork.feed.size)
    }

    @Test
    fun `an answer is made anew by one token`() {
        chat.askBlocking("one two", tokens(3))
        val middle = chat.conversation
        val first = chat.askBlocking(about(3), tokens(6))
        val again = chat.regenerateBlocking(tokens(6))
        assertEquals(first.tokenIds to first.promptTokenIds, again.tokenIds to again.promptTokenIds)
        assertEquals(0 to 1, again.statistics.imagesEncoded to again.statistics.prefillTokens)
        assertSame(middle, chat.conversation.before)
        chats.fake.text.follow(listOf(65, 66))
        val other = chat.regenerateBlocking(tokens(2))
        assertEquals(
            listOf(TextPart(other.text)),
            chat.conversation.messages
                .last()
                .parts,
        )
        chat.reset()
        val refused = assertFailsWith<UsageException> { chat.regenerateBlocking() }
        assertContains(refused.message!!, "no answer to make anew")
    }

    @Test
    fun `messages that repeat the conversation go on by its own ids`() {
        chats.fake.text.follow(listOf(72, 101, 108, 108, 111))
        val first = chat.askBlocking(about(1), tokens(5))
        chats.fake.text.follow(emptyList())
        val messages = listOf(user(about(1)), said(first), user("And now?"))
        val second = chat.askBlocking(Content.Messages(messages), tokens(3))
        assertEquals(first.tokenIds, second.promptTokenIds.drop(first.promptTokenIds.size).take(5))
        assertTrue(second.statistics.reusedTokens >= first.promptTokenIds.size + 4)
        assertEquals(0 to 1, second.statistics.imagesEncoded to second.statistics.imagesCached)
        val other = listOf(user(about(1)), Message(Role.ASSISTANT, "other"), user("And now?"))
        val third = chat.askBlocking(Content.Messages(other), tokens(3))
        assertEquals(first.promptTokenIds.size, third.statistics.reusedTokens)
        assertEquals(fresh(Content.Messages(other), count = 3).tokenIds, third.tokenIds)
    }

    @Test
    fun `a part of the history can be given back, and its images are not encoded again`() {
        chat.askBlocking(about(1), tokens(4))
        val first = chat.conversation
        chat.askBlocking(about(2, "And this?"), tokens(4))
        val history = chat.conversation.messages
        assertIs<EncodedImage>((history[2].parts[0] as ImagePart).source)
        val edited = history.dropLast(2) + user(listOf(history[2].parts[0], TextPart("And that?")))
        val answer = chat.askBlocking(Content.Messages(edited), tokens(6))
        assertEquals(0, answer.statistics.imagesEncoded)
        assertTrue(answer.statistics.reusedTokens > first.feed.size + 9) // up to the words that differ
        assertSame(first, chat.conversation.before)
        chat.conversation = first
        val parts = about(2, "And that?")
        assertEquals(answer.tokenIds, chat.askBlocking(parts, tokens(6)).tokenIds)
    }

    @Test
    fun `another image of that size is fed`() {
        val first = chat.askBlocking(about(1), tokens(4))
        val other = chat.askBlocking(Content.Messages(listOf(user(about(2)), said(first), user("And now?"))), tokens(6))
        val pad = chats.manifest.specialTokens.imagePad
        assertEquals(first.promptTokenIds.indexOf(pad), other.statistics.reusedTokens)
    }

    @Test
    fun `a system message takes the place of the chat's`() {
        val mine = model.chat(ChatOptions(system = "Be brief.")).askBlocking("Hi", tokens(1))
        val messages = listOf(Message(Role.SYSTEM, "Be brief."), user("Hi"))
        val other = model.chat(ChatOptions(system = "Be long.")).askBlocking(Content.Messages(messages), tokens(1))
        assertEquals(mine.promptTokenIds, other.promptTokenIds)
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
        assertEquals(listOf(ImageSides(112, 84)), chat.conversation.imageSizes)
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
