package dev.pocketvl.engines

import dev.pocketvl.Chat
import dev.pocketvl.LoadOptions
import dev.pocketvl.Model
import dev.pocketvl.PocketVL
import dev.pocketvl.SavesCache
import dev.pocketvl.chat.Answer
import dev.pocketvl.chat.AskOptions
import dev.pocketvl.chat.ChatOptions
import dev.pocketvl.chat.Sampling
import org.junit.jupiter.api.io.TempDir
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.ValueSource
import java.io.File
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** From folder, pixels and words to tokens through the public API, against Python with the same bundle. */
class EndToEndTest {
    @TempDir
    lateinit var scratch: File

    @ParameterizedTest
    @ValueSource(strings = ["onnx-int4", "onnx-fp32", "executorch-int4", "executorch-fp32"])
    fun `every conversation gets Python's tokens`(name: String) {
        val cases = cases(name)
        open(name).use { model ->
            val chat = model.chat(options(cases))
            val other = ArrayList<String>()
            for ((title, turns) in cases.conversations) {
                chat.reset()
                for ((number, turn) in turns.withIndex()) {
                    val answer = chat.ask(turn, cases)
                    assertEquals(turn.promptTokens, answer.promptTokenIds.size, "$title, turn $number")
                    if (answer.tokenIds != turn.ids) other += "$title, turn $number: ${answer.text} for ${turn.text}"
                    // What follows another answer is another conversation.
                    if (answer.tokenIds != turn.ids) break
                    assertEquals(turn.text, answer.text)
                }
            }
            val count = cases.conversations.size
            println("  $name: ${count - other.size} of $count conversations alike")
            // Where the versions of the runtimes differ, a quantized model decides toss-ups otherwise.
            val isExact = name.endsWith("fp32") || EngineCases.isSameRuntime(name)
            assertTrue(other.size <= if (isExact) 0 else count / 10, other.toString())
        }
    }

    @ParameterizedTest
    @ValueSource(strings = ["onnx-int4", "executorch-int4"])
    fun `a restored conversation goes on as it would have`(name: String) {
        val cases = cases(name)
        val turns = cases.conversations.getValue("three turns")
        val file = File(scratch, "saved.chat")
        open(name).use { model ->
            val chat = model.chat(options(cases))
            assertEquals(turns[0].ids, chat.ask(turns[0], cases).tokenIds)
            chat.save(file)
        }
        open(name).use { model ->
            val chat = model.loadChat(file)
            val second = chat.ask(turns[1], cases)
            assertEquals(turns[1].ids, second.tokenIds)
            val isSaved = Engines.forTarget(EngineCases.bundle(name), 1).text is SavesCache
            assertEquals(isSaved, second.statistics.reusedTokens > 0)
            assertEquals(turns[2].ids, chat.ask(turns[2], cases).tokenIds)
        }
    }

    @ParameterizedTest
    @ValueSource(strings = ["onnx-int4", "executorch-int4"])
    fun `an edited question is answered as if it had been the first`(name: String) {
        val cases = cases(name)
        val (first, second, third) = cases.conversations.getValue("three turns")
        val alone = cases.conversations.getValue("two images")[0]
        open(name).use { model ->
            val chat = model.chat(options(cases))
            chat.ask(first, cases)
            chat.ask(alone, cases)
            chat.conversation = chat.conversation.before!!
            val answer = chat.ask(second, cases)
            assertEquals(second.ids, answer.tokenIds)
            assertTrue(answer.statistics.reusedTokens > 0)
            assertEquals(third.ids, chat.ask(third, cases).tokenIds)
            // Another chat drives the first one out of the cache, which is fed again.
            val other = model.chat(options(cases))
            assertEquals(alone.ids, other.ask(alone, cases).tokenIds)
            chat.conversation = chat.conversation.before!!
            assertEquals(third.ids, chat.ask(third, cases).tokenIds)
        }
    }

    @ParameterizedTest
    @ValueSource(strings = ["onnx-int4", "executorch-int4"])
    fun `memory that is given back between questions changes no token`(name: String) {
        val cases = cases(name)
        val turns = cases.conversations.getValue("three turns")
        open(name).use { model ->
            val chat = model.chat(options(cases))
            for (turn in turns) {
                assertEquals(turn.ids, chat.ask(turn, cases).tokenIds)
                model.releaseVision()
                model.releaseText()
            }
        }
    }

    private fun cases(name: String): QuestionCases {
        EngineCases.folder(name)
        return QuestionCases(name)
    }

    private fun open(name: String): Model =
        PocketVL.load(EngineCases.folder(name), Engines.forTarget, LoadOptions(threads = 1))

    private fun options(cases: QuestionCases) =
        ChatOptions(minPixels = cases.minPixels, maxPixels = cases.maxPixels, keepVision = true)

    private fun Chat.ask(turn: Turn, cases: QuestionCases): Answer =
        askBlocking(turn.parts, AskOptions(maxTokens = cases.maxTokens, sampling = Sampling.GREEDY))
}
