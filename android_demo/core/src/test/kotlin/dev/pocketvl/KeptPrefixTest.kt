package dev.pocketvl

import dev.pocketvl.chat.Answer
import dev.pocketvl.chat.ChatOptions
import dev.pocketvl.chat.Content
import dev.pocketvl.decoding.StopReason
import dev.pocketvl.media.EncodedImage
import dev.pocketvl.text.ImagePart
import dev.pocketvl.text.Message
import dev.pocketvl.text.Role
import dev.pocketvl.text.TextPart
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertIs
import kotlin.test.assertSame
import kotlin.test.assertTrue

/** A conversation that is changed keeps the slots of all that it still begins with. */
class KeptPrefixTest {
    private val chats = Chats()
    private val model = chats.model()
    private val chat = model.chat()

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
}
