package dev.pocketvl.text

import dev.pocketvl.BundleException
import dev.pocketvl.PocketVLException
import dev.pocketvl.json.Json
import dev.pocketvl.media.PixelSize
import dev.pocketvl.text.tools.InvalidToolCall
import dev.pocketvl.text.tools.Tool
import dev.pocketvl.text.tools.ToolCall
import dev.pocketvl.text.tools.ToolSet
import dev.pocketvl.text.tools.ToolStream
import dev.pocketvl.text.tools.inToolFormat
import dev.pocketvl.text.tools.keptTokens
import dev.pocketvl.text.tools.readCall
import org.junit.jupiter.api.io.TempDir
import java.io.File
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertTrue

/** Damaged files and odd messages: typed exceptions only. The property pocketvl.fuzz is the number of each. */
class TextFuzzTest {
    @TempDir lateinit var folder: File

    private val rounds = (System.getProperty("pocketvl.fuzz") ?: "1000").toInt()
    private val random = Random(20261129)

    @Test
    fun `damaged tokenizer files are refused or work`() {
        val base = TokenizerFileTest.SMALL.toByteArray()
        val file = folder.resolve("tokenizer.json")
        var refused = 0
        repeat(rounds) {
            file.writeBytes(mutated(base))
            try {
                val tokenizer = Tokenizer(file)
                val text = "abc, abab é 1 <|im_end|>"
                for (id in tokenizer.encode(text) + tokenizer.encodeTemplate(text)) tokenizer.tokenBytes(id, false)
            } catch (error: BundleException) {
                assertTrue(error.message!!.length < 1000, error.message)
                refused++
            }
        }
        println("$refused of $rounds tokenizer files refused")
        assertTrue(refused > rounds / 2 && refused < rounds)
    }

    @Test
    fun `odd conversations are refused or work`() {
        val encoder = PromptEncoder(Checkpoints.tokenizer, Checkpoints.special, Checkpoints.template, true)
        val tools = ToolSet(listOf(Tool("tap"), Tool("look")), parallel = true)
        var refused = 0
        repeat(rounds) {
            try {
                val messages = checkConversation(conversation())
                val sized = withThousandths(messages, List(3) { PixelSize(10, 20) }, random.nextInt(2))
                val given = inToolFormat(sized, if (random.nextBoolean()) tools else ToolSet(), random.nextBoolean())
                encoder.encode(given, List(mediaOf(given).size) { 2 }, random.nextBoolean())
            } catch (_: PocketVLException) {
                refused++
            }
            try {
                val following = conversation()
                encoder.encodeContinuation(conversation(), following, List(mediaOf(following).size) { 2 })
            } catch (_: PocketVLException) {
            }
        }
        println("$refused of $rounds conversations refused")
        assertTrue(refused > rounds / 10 && refused < rounds * 9 / 10)
    }

    @Test
    fun `answers of any tokens are read`() {
        val tokenizer = Checkpoints.tokenizer
        val marks =
            listOf(
                "✿FUNCTION✿",
                "✿ARGS✿",
                "✿RESULT✿",
                "✿",
                ": tap",
                "{\"x\": 1}",
                "(1,2),(3,4)",
                "<|box_start|>",
                "<|box_end|>",
            )
        val ids = marks.map { tokenizer.encodeTemplate(it) }
        val tools = ToolSet(listOf(Tool("tap")), parallel = true)
        repeat(rounds) {
            val said =
                List(
                    random.nextInt(30),
                ) { if (random.nextBoolean()) ids.random(random) else intArrayOf(random.nextInt(-1, 1030)) }
            val tokens = said.flatMap { it.toList() }.toIntArray()
            val answer = AnswerText(tokenizer)
            val calls = ToolStream(tools, afterResults = random.nextBoolean())
            for (token in tokens) calls.push(answer.push(token))
            calls.push(answer.finish())
            calls.finish()
            answer.boxes + answer.quads
            keptTokens(tokens, tokenizer, calls.stoppedBy, random.nextBoolean())
        }
    }

    @Test
    fun `arguments of any text become a call or a reason`() {
        val base = """{"x": [1, -2.5e3, {"y": "\u00e9"}], "way": "up"} and so on""".toByteArray()
        val schema =
            """{"type": "object", "properties": {"x": {"items": {"type": ["number", "object"]}}, "way": {"enum": ["up"]}}}"""
        repeat(rounds) {
            val raw = String(mutated(base))
            readCall("a", "tap", raw, ToolSet(listOf(Tool("tap"))))
            try {
                @Suppress("UNCHECKED_CAST")
                val parameters =
                    Json.parse(String(mutated(schema.toByteArray()))) as? Map<String, Any?> ?: return@repeat
                readCall("a", "tap", raw, ToolSet(listOf(Tool("tap", "", parameters))))
            } catch (_: PocketVLException) {
            } catch (_: dev.pocketvl.json.JsonException) {
            }
        }
    }

    /** In usual order, but for one message here and there. */
    private fun conversation(): List<Message> {
        val usual =
            listOf(
                listOf(Role.USER),
                listOf(Role.SYSTEM, Role.USER, Role.ASSISTANT, Role.USER),
                listOf(Role.USER, Role.ASSISTANT),
            ).random(random)
        return usual.map { role ->
            val parts = List(random.nextInt(1, 4)) { if (random.nextInt(8) == 0) part() else TextPart("Hi") }
            val isOdd = random.nextInt(30) == 0
            Message(if (isOdd) Role.entries.random(random) else role, parts, if (isOdd) "a" else null)
        }
    }

    private fun part(): Part =
        when (random.nextInt(9)) {
            0, 1 -> TextPart(text())
            2 -> ObjectRef(text())
            3 -> ImagePart(null)
            4 -> VideoPart(null)
            5 -> shape()
            6 -> CallPart(ToolCall("a", text(), emptyMap(), text()))
            7 -> CallPart(InvalidToolCall("b", text(), text(), "no"))
            else -> if (random.nextInt(20) == 0) GoesOn else TextPart("Hi")
        }

    private fun shape(): Shape {
        val numbers = List(if (random.nextBoolean()) 4 else 8) { number() }
        val kind = if (random.nextInt(8) > 0 && numbers.size == 8) ShapeKind.QUAD else ShapeKind.BOX
        return Shape(kind, numbers, random.nextBoolean(), random.nextInt(-1, 9).takeIf { it < 3 })
    }

    private fun number(): Double =
        listOf(0.0, 1.0, 5.0, 999.5, 1000.0)
            .plus(
                if (random.nextInt(9) >
                    0
                ) {
                    7.0
                } else {
                    Double.NaN
                },
            ).random(random)

    private fun text(): String = String(CharArray(random.nextInt(6)) { CHARACTERS.random(random) })

    private fun mutated(base: ByteArray): ByteArray {
        var bytes = base
        repeat(random.nextInt(1, 4)) {
            val at = random.nextInt(bytes.size + 1)
            val end = minOf(bytes.size, at + random.nextInt(12))
            val new =
                when (random.nextInt(6)) {
                    0 -> ByteArray(0)
                    1 -> ByteArray(end - at) { random.nextInt(256).toByte() }
                    2 -> FRAGMENTS.random(random).toByteArray()
                    3 -> bytes.copyOfRange(at, end) + bytes.copyOfRange(at, end)
                    4 -> random.nextInt(bytes.size + 1).let { bytes.copyOfRange(it, minOf(bytes.size, it + 8)) }
                    else -> random.nextLong(-10, 400).toString().toByteArray()
                }
            bytes = bytes.copyOfRange(0, at) + new + bytes.copyOfRange(end, bytes.size)
        }
        return if (random.nextInt(20) == 0) bytes.copyOf(random.nextInt(bytes.size + 1)) else bytes
    }

    private companion object {
        const val CHARACTERS = "a \n<|✿\ud83d\ude42é"

        val FRAGMENTS =
            listOf(
                "{",
                "}",
                "[",
                "]",
                "\"",
                ",",
                ":",
                "\\",
                "\\u",
                "\\ud800",
                "null",
                "true",
                "1e999",
                "-0",
                "00",
                "[[[[[[[[",
                "{\"a\":",
                "99999999999",
                "1048575",
                "4294967297",
                "\"\"",
                "[\"a\",\"b\"]",
                "\"a b\"",
                "\u0120",
                "日",
                "\u0000",
                "{}",
                "[]",
                "\"type\":\"BPE\"",
                "\"vocab\":{},",
                "\"merges\":[],",
            )
    }
}
