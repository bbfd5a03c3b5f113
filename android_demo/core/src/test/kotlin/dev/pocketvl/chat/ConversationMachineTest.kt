package dev.pocketvl.chat

import dev.pocketvl.Chat
import dev.pocketvl.Chats
import dev.pocketvl.ContextException
import dev.pocketvl.EngineException
import dev.pocketvl.Event
import dev.pocketvl.image
import dev.pocketvl.text.ImagePart
import dev.pocketvl.text.Message
import dev.pocketvl.text.Part
import dev.pocketvl.text.Role
import dev.pocketvl.text.TextPart
import dev.pocketvl.tokens
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.io.TempDir
import java.io.File
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertSame
import kotlin.test.assertTrue

/**
 * Whatever is done to a conversation, its answer is the one of a fresh engine that is fed all of it.
 *
 * -Dpocketvl.steps=20000 -Dpocketvl.seed=1 makes other and more steps.
 */
class ConversationMachineTest {
    @TempDir
    lateinit var folder: File
    private val random = Random(Integer.getInteger("pocketvl.seed", 0))
    private val chats = Chats()
    private val model = chats.model()
    private val fresh = chats.engine()
    private val freshModel = chats.model(fresh)
    private val oracle = freshModel.chat()
    private val other = model.chat()
    private var chat: Chat = model.chat(ChatOptions(keepVision = true))
    private var kept = listOf(chat.conversation)
    private var saved: Conversation? = null
    private var answers = 0

    private fun words() =
        List(random.nextInt(1, 8)) {
            listOf("one", "two", "red", "where", "日本").random(random)
        }.joinToString(" ")

    private fun text() = TextPart(words())

    /** Of two sizes; those of one size have equal tokens. */
    private fun picture(): Part = random.nextInt(4).let { ImagePart(image(it, 56 + 28 * (it % 2), 56)) }

    private fun count() = random.nextInt(1, 5)

    private fun ask(content: Content) {
        val answer =
            try {
                chat.askBlocking(content, tokens(count()).withLookup(random.nextInt(4) == 0))
            } catch (_: ContextException) {
                return chat.reset()
            }
        val statistics = answer.statistics
        assertEquals(answer.promptTokenIds.size, statistics.reusedTokens + statistics.prefillTokens)
        check()
    }

    private fun ask(parts: List<Part>) = ask(Content.Parts(parts))

    /** The last answer's tokens are those that a fresh engine gives. */
    private fun check() {
        val said = chat.conversation
        val tokens = said.feed.tokenIds.drop(said.answerStart)
        fresh.text.close()
        oracle.conversation = said
        val expected = oracle.regenerateBlocking(tokens(maxOf(1, tokens.size)))
        assertEquals(said.feed.tokenIds.take(said.answerStart), expected.promptTokenIds)
        if (tokens.isNotEmpty()) assertEquals(expected.tokenIds, tokens)
        answers++
    }

    private val steps: List<Pair<String, () -> Unit>> =
        listOf(
            "say" to { ask(listOf(text())) },
            "look" to { ask(listOf(picture(), text())) },
            "look ahead" to {
                val part = picture() as ImagePart
                ask(listOf(ImagePart(chat.encodeImage(part.source!!)), text()))
            },
            "give all" to {
                val first = if (random.nextBoolean()) listOf(Message(Role.SYSTEM, words())) else emptyList()
                val images = List(random.nextInt(3)) { picture() }
                val whole =
                    first + Message(Role.USER, images + text()) + Message(Role.ASSISTANT, words()) +
                        Message(Role.USER, words())
                ask(Content.Messages(whole))
            },
            "give the history back" to {
                val history = chat.conversation.messages.dropLast(random.nextInt(2) * 2)
                ask(Content.Messages(history + Message(Role.USER, words())))
            },
            "edit" to {
                chat.conversation.before?.let { chat.conversation = it }
                ask(listOf(text()))
            },
            "regenerate" to {
                val before = chat.conversation.before
                if (before != null) {
                    chat.regenerateBlocking(tokens(count()))
                    assertSame(before, chat.conversation.before)
                    check()
                }
            },
            "keep" to { kept = kept.takeLast(3) + chat.conversation },
            "fork" to { chat.conversation = kept.random(random) },
            "another speaks" to {
                other.reset()
                other.askBlocking(listOf(picture(), text()), tokens(1))
            },
            "save" to {
                chat.save(File(folder, "saved"))
                saved = chat.conversation
            },
            "restore" to { restore() },
            "cancel" to { cancel() },
            "fail" to { fail() },
            "release" to { if (random.nextBoolean()) model.releaseVision() else model.releaseText() },
            "reset" to { chat.reset() },
        )

    private fun restore() {
        val expected = saved ?: return
        if (random.nextBoolean()) model.releaseText()
        chat = model.loadChat(File(folder, "saved"), keepVision = true)
        val found = chat.conversation
        assertEquals(expected.feed.tokenIds.toList(), found.feed.tokenIds.toList())
        assertEquals(expected.feed.mediaKeys.toList(), found.feed.mediaKeys.toList())
        assertEquals(expected.messages.size, found.messages.size)
        assertEquals(expected.imageSizes, found.imageSizes)
    }

    private fun cancel() =
        runBlocking {
            val before = chat.conversation
            val asked = chat.ask(listOf(picture(), text()), tokens(30))
            val events = asked.take(random.nextInt(1, 5)).toList()
            if (events.last().let { it is Event.Failed }) chat.reset()
            if (chat.conversation !== before && chat.conversation.before != null) check()
        }

    private fun fail() {
        val before = chat.conversation
        val at =
            chats.fake.text.decoded
                .get() + random.nextInt(1, 6)
        chats.fake.onDecode = { if (it == at) throw EngineException("no memory") }
        try {
            chat.askBlocking(listOf(picture(), text()), tokens(9))
            check()
        } catch (_: EngineException) {
            assertSame(before, chat.conversation)
        } catch (_: ContextException) {
            chat.reset()
        } finally {
            chats.fake.onDecode = {}
        }
    }

    @Test
    fun `a conversation is its tokens alone`() {
        val count = Integer.getInteger("pocketvl.steps", 400)
        val names = ArrayList<String>()
        repeat(count) {
            val (name, step) = steps.random(random)
            names += name
            try {
                step()
            } catch (error: Throwable) {
                throw AssertionError("after ${names.takeLast(12)}", error)
            }
        }
        assertTrue(answers > count / 3, "$answers answers in $count steps")
        freshModel.close()
        model.close()
        assertFailsWith<dev.pocketvl.UsageException> { chat.askBlocking("one") }
    }
}
