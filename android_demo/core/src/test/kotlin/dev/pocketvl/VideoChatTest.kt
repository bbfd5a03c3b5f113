package dev.pocketvl

import dev.pocketvl.bundle.Bundle
import dev.pocketvl.chat.Content
import dev.pocketvl.decoding.StopReason
import dev.pocketvl.media.video.FrameList
import dev.pocketvl.media.video.VideoOptions
import dev.pocketvl.text.Message
import dev.pocketvl.text.Part
import dev.pocketvl.text.Role
import dev.pocketvl.text.TextPart
import dev.pocketvl.text.Tokenizer
import dev.pocketvl.text.VideoPart
import dev.pocketvl.text.tools.Tool
import java.io.File
import kotlin.test.AfterTest
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertSame

class VideoChatTest {
    private val chats = Chats()
    private val model = chats.model()
    private val chat = model.chat()

    @AfterTest
    fun close() = model.close()

    private fun video(frames: Int = 6, options: VideoOptions = VideoOptions(nframes = frames)) =
        VideoPart(FrameList(List(frames) { image(it, 56, 56) }), options)

    private fun about(video: VideoPart): List<Part> = listOf(video, TextPart("What happens?"))

    @Test
    fun `a video is encoded slice by slice, and each slice once`() {
        val first = chat.askBlocking(about(video()), tokens(3))
        assertEquals(3 to 0, first.statistics.slicesEncoded to first.statistics.slicesCached)
        val measured = chat.measureVideo(video())
        assertEquals(6 to 0, measured.frames to measured.width % 28)
        assertEquals(3 * measured.width * measured.height / 28 / 28, measured.tokens)
        assertEquals(measured.tokens, first.promptTokenIds.count { it == chats.manifest.specialTokens.videoPad })
        val again = chat.askBlocking(about(video(4)), tokens(3))
        assertEquals(0 to 2, again.statistics.slicesEncoded to again.statistics.slicesCached)
        chat.save(File(chats.folder, "saved"))
        val expected = chat.askBlocking("And then?", tokens(5))
        assertEquals(
            expected.tokenIds,
            model.loadChat(File(chats.folder, "saved")).askBlocking("And then?", tokens(5)).tokenIds,
        )
    }

    @Test
    fun `a video that is cancelled leaves the conversation, and what was encoded is cached`() {
        chats.fake.onEncode = { if (it == 2) chat.cancel() }
        val before = chat.conversation
        assertEquals(StopReason.CANCELLED, chat.askBlocking(about(video()), tokens(3)).stopReason)
        assertSame(before, chat.conversation)
        val again = chat.askBlocking(about(video()), tokens(3))
        assertEquals(1 to 2, again.statistics.slicesEncoded to again.statistics.slicesCached)
    }

    @Test
    fun `of a video that is too long it is said what would fit`() {
        val long = video(400, VideoOptions(nframes = 400))
        val refused = assertFailsWith<ContextException> { chat.askBlocking(about(long), tokens(3)) }
        assertContains(refused.message!!, "would fit with")
        assertEquals(
            0,
            chats.fake.vision.encoded
                .get(),
        )
    }

    @Test
    fun `a video of the history is given anew`() {
        chat.askBlocking(about(video()), tokens(3))
        val messages = chat.conversation.messages + Message(Role.USER, "And then?")
        val refused = assertFailsWith<PromptException> { chat.askBlocking(Content.Messages(messages), tokens(3)) }
        assertContains(refused.message!!, "does not keep this video")
        val given = listOf(Message(Role.USER, about(video()))) + messages.drop(1)
        assertEquals(0, chat.askBlocking(Content.Messages(given), tokens(3)).statistics.slicesEncoded)
    }

    @Test
    fun `a model without a chat template completes`() {
        val base = Bundle(chats.folder, chats.manifest.copy(chat = false))
        Model(base, chats.engine().engine).use { model ->
            val answer = model.chat().askBlocking("one two", tokens(4))
            val tokenizer = Tokenizer(File(chats.folder, Names.TOKENIZER_FILE))
            assertEquals(tokenizer.encode("one two").toList(), answer.promptTokenIds)
            val options = tokens(1).withTools(listOf(Tool("look")))
            assertFailsWith<UsageException> { model.chat().askBlocking("one", options) }
        }
    }
}
