package dev.pocketvl.engines

import dev.pocketvl.LoadOptions
import dev.pocketvl.PocketVL
import dev.pocketvl.bundle.Verify
import dev.pocketvl.chat.AskOptions
import dev.pocketvl.chat.Sampling
import dev.pocketvl.json.Json
import org.junit.jupiter.api.Assumptions.assumeTrue
import org.junit.jupiter.api.Test
import java.io.File
import kotlin.test.assertEquals

/**
 * Answers in words by any bundle: -Dpocketvl.text.bundle=FOLDER, and -Dpocketvl.text.answers=FILE, JSON of
 * `[{"question": .., "ids": [..], "text": ..}]` as Python answers greedily, each in a conversation of its own.
 */
class TextAnswerTest {
    @Test
    fun `questions without images get Python's tokens`() {
        val folder = System.getProperty("pocketvl.text.bundle")
        val file = System.getProperty("pocketvl.text.answers")
        assumeTrue(folder != null && file != null, "no bundle was named")
        val options = LoadOptions(verify = Verify.NEVER, threads = 1)
        PocketVL.load(File(folder!!), Engines.forTarget, options).use { model ->
            val chat = model.chat()
            for (case in Json.parse(File(file!!).readText()) as List<*>) {
                case as Map<*, *>
                val ids = (case["ids"] as List<*>).map { Math.toIntExact(it as Long) }
                chat.reset()
                val asked = AskOptions(maxTokens = 64, sampling = Sampling.GREEDY)
                val answer = chat.askBlocking(case["question"] as String, asked)
                println("  ${answer.tokenIds.size} tokens: ${answer.text.take(80)}")
                assertEquals(case["text"], answer.text)
                assertEquals(ids, answer.tokenIds)
            }
        }
    }
}
