package dev.pocketvl.text

import dev.pocketvl.PromptException
import dev.pocketvl.int
import dev.pocketvl.json.Json
import dev.pocketvl.listOf
import dev.pocketvl.media.PixelSize
import dev.pocketvl.members
import dev.pocketvl.text.tools.ToolSet
import dev.pocketvl.text.tools.inToolFormat
import org.junit.jupiter.api.Assumptions.assumeTrue
import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** Against many cases of tests/kotlin/write_text_cases.py, in the folder of the property pocketvl.text.cases. */
class FullComparisonTest {
    private val folder = System.getProperty("pocketvl.text.cases")?.let(::File)

    @Test
    fun `texts have the ids of the tokenizers library`() {
        assumeTrue(folder != null, "pocketvl.text.cases is not set")
        val tokenizer = Tokenizer(folder!!.resolve("tokenizer.json"))
        var count = 0
        folder.resolve("texts.jsonl").forEachLine { line ->
            val case = Json.parse(line).members()
            val text = case["text"] as String
            assertEquals(ids(case["plain"]), tokenizer.encode(text).toList(), Json.write(text))
            assertEquals(ids(case["marked"]), tokenizer.encodeTemplate(text).toList(), Json.write(text))
            count++
        }
        println("$count texts")
        assertTrue(count > 0)
    }

    @Test
    fun `conversations have the ids of Python's prompts`() {
        val file = folder?.resolve("conversations.jsonl")
        assumeTrue(file?.isFile == true, "pocketvl.text.cases is not set, or has no conversations")
        val cases = ConversationCases(folder!!)
        file!!.useLines { lines -> lines.drop(1).forEach { cases.check(Json.parse(it).members(), it) } }
        println("${cases.count} conversations, ${cases.continuations} continued, ${cases.completions} without template")
        assertTrue(cases.count > 0 && cases.continuations > 0 && cases.completions > 0)
    }
}

private class ConversationCases(folder: File) {
    private val tokenizer = Tokenizer(folder.resolve("tokenizer.json"))
    private val special = Checkpoints.specialTokens(tokenizer)
    private val template = ChatTemplate.read(folder.resolve("chat_template.jinja"))
    private val encoders = listOf(false, true).associateWith { PromptEncoder(tokenizer, special, template, it) }
    private val completer = PromptEncoder(tokenizer, special, null)
    var count = 0
    var continuations = 0
    var completions = 0

    fun check(case: Map<String, Any?>, line: String) {
        val messages = checkMessages(messagesOf(case["messages"]))
        val images = mediaOf(messages).count { it is ImagePart }
        val parsed = withThousandths(messages, List(images) { PixelSize(56, 56) }, 0)
        val tools = ToolSet(case["tools"].listOf<Any?>().map { toolOf(it.members()) }, case["parallel"] as Boolean)
        val counts = ids(case["media_tokens"])
        val encoder = encoders.getValue(case["add_vision_id"] as Boolean)
        val whole = encoder.encode(inToolFormat(parsed, tools), counts, case["answer_next"] as Boolean)
        assertEquals(ids(case["ids"]), whole.toList(), line)
        count++
        if (case["cut"] != null) {
            val (history, following) = case["cut"].int().let { parsed.take(it) to parsed.drop(it) }
            val tail =
                encoder.encodeContinuation(
                    inToolFormat(history, tools),
                    inToolFormat(following, tools, beginning = false),
                    counts.drop(mediaOf(history).size),
                )
            assertEquals(ids(case["tail"]), tail.toList(), line)
            continuations++
        }
        val completion = case["completion"] ?: return
        if (completion is String) {
            try {
                completer.encode(parsed, counts)
                throw AssertionError("it should be refused: $line")
            } catch (_: PromptException) {
            }
        } else {
            assertEquals(ids(completion), completer.encode(parsed, counts).toList(), line)
        }
        completions++
    }
}

private fun ids(value: Any?): List<Int> = value.listOf<Any?>().map { it.int() }
