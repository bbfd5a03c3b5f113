package dev.pocketvl.chat

import dev.pocketvl.Chats
import dev.pocketvl.Event
import dev.pocketvl.ImageException
import dev.pocketvl.UsageException
import dev.pocketvl.decoding.StopReason
import dev.pocketvl.media.ImageSource
import dev.pocketvl.media.PixelSize
import dev.pocketvl.media.RgbImage
import dev.pocketvl.text.ImagePart
import dev.pocketvl.text.Message
import dev.pocketvl.text.Role
import dev.pocketvl.text.TextPart
import dev.pocketvl.tokens
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Timeout
import java.util.concurrent.CountDownLatch
import java.util.concurrent.Semaphore
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import kotlin.concurrent.thread
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertIs
import kotlin.test.assertTrue

@Timeout(120)
class LiveViewTest {
    private val chats = Chats()
    private val model = chats.model()
    private val chat = model.chat(ChatOptions(keepVision = true))
    private val view = chat.live()
    private val pad = chats.manifest.specialTokens.imagePad
    private val open = CountDownLatch(1)
    private val entered = Semaphore(0)

    @AfterTest
    fun close() {
        open.countDown()
        view.close()
        chat.close()
        model.close()
    }

    private fun frame(level: Int) = RgbImage(84, 84, ByteArray(3 * 84 * 84) { level.toByte() })

    private fun settle() {
        while (!view.isIdle) Thread.yield()
    }

    private fun hold() {
        chats.fake.onEncode = {
            entered.release()
            check(open.await(60, TimeUnit.SECONDS))
        }
    }

    private fun ask(question: String, count: Int = 3) = view.askBlocking(question, tokens(count))

    @Test
    fun `a question is about the newest frame`() {
        view.see(frame(10))
        val first = ask("What?")
        view.see(frame(200))
        assertTrue(view.waitForChange(60_000))
        val events = runBlocking { view.ask("And now?", tokens(3)).toList() }
        val second = assertIs<Event.Completed>(events.last()).answer
        assertEquals(0 to 0, first.statistics.imagesEncoded to second.statistics.imagesEncoded)
        assertEquals(listOf(9, 9), listOf(first, second).map { answer -> answer.promptTokenIds.count { it == pad } })
        val whole =
            listOf(
                Message(Role.USER, "What?"),
                Message(Role.ASSISTANT, first.text),
                Message(Role.USER, listOf(ImagePart(frame(200)), TextPart("And now?"))),
            )
        view.close()
        assertEquals(second.tokenIds, chat.askBlocking(Content.Messages(whole), tokens(3)).tokenIds)
    }

    @Test
    fun `a frame that shows nothing else is not encoded`() {
        view.see(frame(100))
        val first = ask("What?")
        for (level in listOf(104, 97, 100)) {
            view.see(frame(level))
            settle()
        }
        assertFalse(view.waitForChange(0))
        val second = ask("And?")
        assertEquals(FrameCounts(given = 4, unchanged = 3, encoded = 1), view.counts)
        assertEquals(first.promptTokenIds, second.promptTokenIds.take(first.promptTokenIds.size))
        assertTrue(second.statistics.reusedTokens >= first.promptTokenIds.size)
    }

    @Test
    fun `the newest frame alone waits, and one is encoded at a time`() {
        hold()
        view.see(frame(0))
        entered.acquire()
        for (level in 20 until 220 step 20) view.see(frame(level))
        assertEquals(9, view.counts.replaced)
        open.countDown()
        settle()
        assertEquals(FrameCounts(given = 11, replaced = 9, encoded = 2), view.counts)
        assertEquals(
            2,
            chats.fake.vision.encoded
                .get(),
        )
    }

    @Test
    fun `a frame is encoded while an answer is made`() {
        view.see(frame(10))
        var encoded = 0
        val answer =
            view.askBlocking("What?", tokens(20)) {
                if (encoded == 0) {
                    view.see(frame(200))
                    settle()
                    encoded = view.counts.encoded
                }
            }
        assertEquals(2, encoded)
        assertTrue(answer.tokenIds.size > 1)
        assertTrue(view.waitForChange(0))
    }

    @Test
    fun `a frame may be changed after it was given`() {
        hold()
        val buffer = frame(10)
        view.see(buffer)
        buffer.pixels.fill(-56)
        open.countDown()
        assertTrue(view.waitForChange(60_000))
        view.see(frame(10))
        settle()
        assertEquals(1, view.counts.unchanged)
    }

    @Test
    fun `old frames leave and their words stay`() {
        view.close()
        chat.live(LiveOptions(maxFrames = 2)).use { two ->
            val counts =
                listOf(10, 60, 110, 160).map { level ->
                    two.see(frame(level))
                    assertTrue(two.waitForChange(60_000))
                    two.askBlocking("Now $level?", tokens(2)).promptTokenIds.count { it == pad }
                }
            assertEquals(listOf(9, 18, 18, 18), counts)
            assertEquals(8 to 2, chat.conversation.messages.size to chat.conversation.feed.media.size)
        }
    }

    @Test
    fun `the oldest turns leave a full context, and no more stay than are wanted`() {
        view.see(frame(10))
        val turns =
            List(12) {
                val answer = ask("What is there to be seen, and is there more than before?", 40)
                assertTrue(answer.stopReason != StopReason.CONTEXT)
                chat.conversation.messages.size / 2
            }
        assertTrue(turns.max() in 2..11 && turns.last() < 12, "$turns")
        view.close()
        chat.live(LiveOptions(maxTurns = 1)).use { one ->
            one.see(frame(10))
            repeat(3) { one.askBlocking("What?", tokens(2)) }
            assertEquals(4, chat.conversation.messages.size)
        }
        chat.live(LiveOptions(maxTurns = 0)).use { none ->
            none.see(frame(10))
            none.askBlocking("What?", tokens(2))
            assertEquals(1, none.askBlocking("What?", tokens(2)).statistics.prefillTokens)
        }
    }

    @Test
    fun `a bad frame is told once`() {
        val bad =
            object : ImageSource {
                override val name = "bad.jpg"

                override fun size() = PixelSize(84, 84)

                override fun read(height: Int, width: Int): RgbImage = throw ImageException("bad.jpg is damaged.")
            }
        view.see(bad)
        assertFailsWith<ImageException> { ask("What?") }
        view.see(frame(10))
        assertTrue(ask("What?").tokenIds.isNotEmpty())
        view.see(bad)
        assertFailsWith<ImageException> { view.waitForChange(60_000) }
        assertTrue(ask("And?").tokenIds.isNotEmpty())
    }

    @Test
    fun `what cannot be meant is refused`() {
        assertFailsWith<UsageException> { LiveOptions(maxFrames = 0) }
        assertFailsWith<UsageException> { LiveOptions(maxTurns = -1) }
        assertContains(assertFailsWith<UsageException> { ask("What?") }.message!!, "call see()")
        assertContains(assertFailsWith<UsageException> { chat.live() }.message!!, "has a live view already")
        view.close()
        assertFalse(view.waitForChange(60_000))
        assertContains(assertFailsWith<UsageException> { view.see(frame(1)) }.message!!, "is closed")
        chat.see(frame(1)).close()
    }

    @Test
    fun `a question that waits for the first frame can be cancelled`() {
        hold()
        view.see(frame(10))
        entered.acquire()
        val tokens = AtomicInteger(-1)
        val asking = thread { tokens.set(ask("What?").tokenIds.size) }
        while (asking.isAlive) {
            view.cancel()
            Thread.sleep(1)
        }
        assertEquals(0, tokens.get())
        assertEquals(0, chat.conversation.messages.size)
    }

    @Test
    fun `a cancelled question leaves the turns before`() {
        view.see(frame(10))
        ask("What?", 2)
        chats.fake.eos = null
        val first =
            chats.fake.text.decoded
                .get()
        chats.fake.onDecode = { if (it == first + 4) view.cancel() }
        assertEquals(StopReason.CANCELLED, ask("And?", 50).stopReason)
        chats.fake.onDecode = {}
        assertTrue(ask("More?", 2).tokenIds.isNotEmpty())
        assertEquals(6, chat.conversation.messages.size)
    }

    @Test
    fun `which frames stay`() {
        fun kept(frames: String, most: Int) =
            keptFrames(frames.map { "$it" }, most).joinToString("") { if (it) "1" else "0" }
        assertEquals("", kept("", 1))
        assertEquals("1", kept("a", 1))
        assertEquals("100", kept("aaa", 1))
        assertEquals("01", kept("ab", 1))
        assertEquals("11", kept("ab", 2))
        assertEquals("00101", kept("aabbc", 2))
        assertEquals("001", kept("aba", 1))
        assertEquals("111", kept("aba", 9))
    }
}
