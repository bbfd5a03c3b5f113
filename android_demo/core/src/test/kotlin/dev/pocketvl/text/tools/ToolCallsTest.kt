package dev.pocketvl.text.tools

import dev.pocketvl.Golden
import dev.pocketvl.listOf
import dev.pocketvl.members
import dev.pocketvl.text.Checkpoints
import dev.pocketvl.text.GoesOn
import dev.pocketvl.text.Message
import dev.pocketvl.text.Role
import dev.pocketvl.text.TextPart
import dev.pocketvl.text.checkMessages
import dev.pocketvl.text.messagesOf
import dev.pocketvl.text.toolOf
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class ToolCallsTest {
    private val golden = Golden.read("tool_calls")

    private fun cases(name: String) = golden[name].listOf<Any?>().map { it.members() }

    private fun tools(case: Map<String, Any?>) =
        ToolSet(case["tools"].listOf<Any?>().map { toolOf(it.members()) }, case["parallel"] as Boolean)

    private fun stream(case: Map<String, Any?>) =
        ToolStream(tools(case), afterResults = case["after_results"] as Boolean)

    @Test
    fun `tools are described as the model was trained`() {
        for (case in cases("systems")) assertEquals(case["text"], describeTools(tools(case)))
    }

    @Test
    fun `calls and results become turns`() {
        for (case in cases("turns")) {
            val turns = inToolFormat(checkMessages(messagesOf(case["messages"])), ToolSet())
            val isOpen = turns.last().parts.lastOrNull() == GoesOn
            assertEquals(case["open"], isOpen, "${case["name"]}")
            val found =
                turns.map { turn ->
                    listOf(turn.role.label, turn.parts.filterIsInstance<TextPart>().joinToString("") { it.text })
                }
            assertEquals(case["turns"], found, "${case["name"]}")
        }
    }

    @Test
    fun `answers are read piece by piece`() {
        for (case in cases("answers")) {
            val stream = stream(case)
            val events = case["pieces"].listOf<String>().map { stream.push(it) } + listOf(stream.finish())
            assertEquals(case["stopped_by"], stream.stoppedBy, "${case["name"]}")
            val expected = case["events"].listOf<List<Any?>>()
            assertEquals(expected.map { it.size }, events.map { it.size }, "${case["name"]}")
            for ((wanted, found) in expected.flatten().zip(events.flatten())) check(wanted, found)
        }
    }

    @Test
    fun `the pieces do not matter`() {
        for (case in cases("answers")) {
            val text = case["pieces"].listOf<String>().joinToString("")
            val expected = joined(stream(case), listOf(text))
            for (split in 1 until text.length) {
                assertEquals(
                    expected,
                    joined(stream(case), listOf(text.take(split), text.drop(split))),
                    "${case["name"]}",
                )
            }
            assertEquals(expected, joined(stream(case), text.map { it.toString() }), "${case["name"]}")
        }
    }

    @Test
    fun `ids go on where the conversation is`() {
        val tools = ToolSet(listOf(Tool("look")), parallel = true)
        val stream = ToolStream(tools, callsBefore = 3)
        val events = stream.push("$FUNCTION: look$FUNCTION: nothing") + stream.finish()
        assertEquals(listOf("call_3", "call_4"), events.map { (it as ToolEvent.Called).call.id })
        assertTrue((events[1] as ToolEvent.Called).call is InvalidToolCall)
    }

    @Test
    fun `without tools nothing is held back`() {
        val stream = ToolStream(ToolSet())
        assertEquals(listOf<ToolEvent>(ToolEvent.Said("a $FUNCTION: x \n")), stream.push("a $FUNCTION: x \n"))
        assertEquals(emptyList(), stream.finish())
    }

    @Test
    fun `the tokens kept of an answer end before the marker`() {
        val tokenizer = Checkpoints.tokenizer
        val text = "Look. $FUNCTION: look\n$ARGS: {}\n$RESULT: x"
        val ids = tokenizer.encode(text)
        val kept = keptTokens(ids, tokenizer, RESULT, endsWithCall = true)
        assertEquals("Look. $FUNCTION: look\n$ARGS: {}\n", tokenizer.decode(kept))
        val unmarked = keptTokens(tokenizer.encode("a$RESULT"), tokenizer, RESULT, endsWithCall = true)
        assertEquals("a\n", tokenizer.decode(unmarked))
        assertEquals("Hi", tokenizer.decode(keptTokens(tokenizer.encode("Hi"), tokenizer, "", endsWithCall = false)))
    }

    @Test
    fun `a conversation without tools is left as it is`() {
        val messages = listOf(Message(Role.USER, "What is ✿RESULT✿?"))
        assertEquals(messages, inToolFormat(messages, ToolSet()))
    }

    private fun check(wanted: Any?, found: ToolEvent) {
        if (wanted is String) {
            assertEquals(ToolEvent.Said(wanted), found)
            return
        }
        val call = (found as ToolEvent.Called).call
        val expected = wanted.members()
        assertEquals(expected["name"], call.name)
        assertEquals(expected["raw"], call.raw)
        if ("arguments" in expected) {
            assertEquals(expected["arguments"], (call as ToolCall).arguments)
        } else {
            val reason = (call as InvalidToolCall).reason
            // null: in the words of the JSON parser
            assertEquals(expected["reason"] ?: reason, reason)
        }
    }

    /** Neighbouring texts as one: they may be cut anywhere. */
    private fun joined(stream: ToolStream, pieces: List<String>): List<ToolEvent> {
        val joined = ArrayList<ToolEvent>()
        for (event in pieces.flatMap { stream.push(it) } + stream.finish()) {
            val before = joined.lastOrNull()
            if (event is ToolEvent.Said && before is ToolEvent.Said) {
                joined[joined.size - 1] = ToolEvent.Said(before.text + event.text)
            } else {
                joined.add(event)
            }
        }
        return joined
    }
}
