package dev.pocketvl.chat

import dev.pocketvl.Chats
import dev.pocketvl.ContextException
import dev.pocketvl.TextListener
import dev.pocketvl.UsageException
import dev.pocketvl.decoding.StopReason
import dev.pocketvl.image
import dev.pocketvl.text.ImagePart
import dev.pocketvl.text.Message
import dev.pocketvl.text.Role
import dev.pocketvl.text.TextPart
import dev.pocketvl.text.Tokenizer
import dev.pocketvl.text.tools.Tool
import dev.pocketvl.text.tools.ToolHandler
import dev.pocketvl.text.tools.ToolSet
import dev.pocketvl.text.tools.readCall
import dev.pocketvl.tokens
import java.io.File
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertSame
import kotlin.test.assertTrue

class AgentTest {
    private val add = tool("add", "a", "b") { (it["a"] as Long) + (it["b"] as Long) }
    private val fail =
        tool("fail", kind = "string", names = arrayOf("why")) { throw IllegalStateException(it["why"] as String) }

    private fun tool(name: String, vararg names: String, kind: String = "integer", handler: ToolHandler): Tool {
        val properties = names.associateWith { mapOf("type" to kind) }
        val schema = mapOf("type" to "object", "properties" to properties, "required" to names.toList())
        return Tool(name, "", schema, handler)
    }

    /** Answers what it was given: a text, calls as pairs of name and JSON, or an exception to throw. */
    private class Scripted(tools: List<Tool>, vararg answers: Any) : Asks {
        override var conversation = Conversation()
        val asked = ArrayList<Content>()
        val options = ArrayList<AskOptions>()
        private val tools = ToolSet(tools, parallel = true)
        private val answers = answers.iterator()

        override fun ask(content: Content, options: AskOptions, onText: TextListener?): Answer {
            asked += content
            this.options += options
            val answer = answers.next()
            if (answer is Exception) throw answer
            conversation = Conversation(conversation.messages + Message(Role.ASSISTANT, "$answer"))
            val calls =
                (answer as? List<*>).orEmpty().mapIndexed { i, call ->
                    val (name, json) = call as Pair<*, *>
                    readCall("call_$i", name as String, json as String, tools)
                }
            val text = answer as? String ?: ""
            if (text.isNotEmpty()) onText?.onText(text)
            val reason = if (calls.isEmpty()) StopReason.STOP else StopReason.TOOL_CALLS
            return Answer(text, listOf(1), listOf(1), 2, reason, Statistics(), toolCalls = calls)
        }

        fun results(index: Int): List<Message> = (asked[index] as Content.Messages).messages
    }

    private val question = Content.Parts("1+2+3?")

    private fun result(id: String, text: String) = Message(Role.TOOL, listOf(TextPart(text)), id)

    @Test
    fun `calls are made until a text comes`() {
        val chat =
            Scripted(
                listOf(add),
                listOf("add" to """{"a": 1, "b": 2}"""),
                listOf("add" to """{"a": 3, "b": 3}"""),
                "Six.",
            )
        val told = ArrayList<CallRecord>()
        val said = ArrayList<String>()
        val done =
            Agent(chat, listOf(add), AgentOptions()).askBlocking(question, AskOptions(9), { said += it }, {
                told +=
                    it
            })
        assertEquals(Triple("Six.", StopReason.STOP, listOf("Six.")), Triple(done.text, done.stopReason, said.toList()))
        assertEquals(listOf<Any?>(3L, 6L), done.calls.map { it.result })
        assertEquals(told, done.calls)
        assertEquals(
            listOf(question) + listOf("3", "6").map { Content.Messages(listOf(result("call_0", it))) },
            chat.asked,
        )
        assertEquals(listOf(9, 9, 9), chat.options.map { it.maxTokens })
        assertEquals(listOf(true, false, false), chat.options.map { it.tools != null })
    }

    @Test
    fun `what went wrong is told to the model`() {
        val cases =
            mapOf(
                ("fail" to """{"why": "no network"}""") to "Error: no network",
                ("fail" to """{"why": ""}""") to "Error: IllegalStateException",
                ("add" to """{"a": 1}""") to "Error: The arguments of add do not fit: b is missing.",
                ("add" to "{") to "Error: The arguments of add must be a JSON object",
                ("sub" to "{}") to "Error: There is no tool 'sub'; known are add, fail.",
            )
        for ((call, told) in cases) {
            val chat = Scripted(listOf(add, fail), listOf(call), "Sorry.")
            val done = Agent(chat, listOf(add, fail), AgentOptions()).askBlocking(question)
            val said =
                (
                    chat
                        .results(1)
                        .single()
                        .parts
                        .single() as TextPart
                ).text
            assertTrue(said.startsWith(told), said)
            assertEquals(said.removePrefix("Error: "), done.calls[0].error)
        }
    }

    @Test
    fun `what a handler throws can be let through, and a failed answer leaves the conversation`() {
        val chat = Scripted(listOf(fail), listOf("fail" to """{"why": "no network"}"""), "Sorry.")
        val before = chat.conversation
        val agent = Agent(chat, listOf(fail), AgentOptions(throwErrors = true))
        assertEquals("no network", assertFailsWith<IllegalStateException> { agent.askBlocking(question) }.message)
        assertSame(before, chat.conversation)
        val other = Scripted(listOf(add), listOf("add" to """{"a": 1, "b": 2}"""), ContextException("too long"))
        val start = other.conversation
        assertFailsWith<ContextException> { Agent(other, listOf(add), AgentOptions()).askBlocking(question) }
        assertSame(start, other.conversation)
    }

    @Test
    fun `there is an end to calls`() {
        val call = listOf("add" to """{"a": 1, "b": 2}""")
        val done =
            Agent(
                Scripted(listOf(add), call, call, call),
                listOf(add),
                AgentOptions(maxCalls = 2),
            ).askBlocking(question)
        assertEquals(Triple(true, 2, 3), Triple(done.isToolLimit, done.calls.size, done.answers.size))
        val both = Scripted(listOf(add), call + call)
        val none = Agent(both, listOf(add), AgentOptions(maxCalls = 1, parallel = true)).askBlocking(question)
        assertEquals(true to 0, none.isToolLimit to none.calls.size)
    }

    @Test
    fun `results are text, JSON or an image`() {
        val photo = image(1)
        val cases =
            mapOf("text" to TextPart("text"), null to TextPart("null"), "" to TextPart("")) +
                mapOf(mapOf("é" to listOf(1.5, true)) to TextPart("""{"é": [1.5, true]}"""), photo to ImagePart(photo))
        for ((value, part) in cases) {
            val tool = tool("tool") { value }
            val chat = Scripted(listOf(tool), listOf("tool" to "{}"), "Done.")
            Agent(chat, listOf(tool), AgentOptions()).askBlocking(question)
            assertEquals(
                part,
                chat
                    .results(1)
                    .single()
                    .parts
                    .single(),
            )
        }
        val odd = tool("tool") { Any() }
        val chat = Scripted(listOf(odd), listOf("tool" to "{}"), "Done.")
        val refused = assertFailsWith<UsageException> { Agent(chat, listOf(odd), AgentOptions()).askBlocking(question) }
        assertContains(refused.message!!, "cannot be told to the model")
    }

    @Test
    fun `an agent without tools or handlers is refused`() {
        val chat = Scripted(emptyList())
        assertFailsWith<UsageException> { Agent(chat, emptyList(), AgentOptions()) }
        assertFailsWith<UsageException> { Agent(chat, listOf(add), AgentOptions(maxCalls = 0)) }
        assertFailsWith<UsageException> { Agent(chat, listOf(Tool("silent")), AgentOptions()) }
        assertFailsWith<UsageException> {
            Agent(chat, listOf(add), AgentOptions()).askBlocking(question, AskOptions().withTools(listOf(add)))
        }
    }

    @Test
    fun `a chat calls a tool by the tokens of its answer, and goes on after the result`() {
        val chats = Chats(maxContext = 640)
        val tokenizer = Tokenizer(File(chats.folder, "tokenizer.json"))
        chats.model().use { model ->
            val chat = model.chat()
            val call = tokenizer.encode("✿FUNCTION✿: add\n✿ARGS✿: {\"a\": 1, \"b\": 2}\n✿RESULT✿")
            val after = tokenizer.encodeTemplate(": Three.<|im_end|>")
            chats.fake.text.follow((call + after).toList())
            val done = Agent(chat, listOf(add)).askBlocking(Content.Parts("1+2?"), tokens(90))
            assertEquals("Three." to listOf<Any?>(3L), done.text to done.calls.map { it.result })
            assertEquals(StopReason.TOOL_CALLS, done.answers[0].stopReason)
            val prompt = tokenizer.decode(done.answers[1].promptTokenIds.toIntArray(), skipSpecial = false)
            assertContains(prompt, "✿ARGS✿: {\"a\": 1, \"b\": 2}\n✿RESULT✿: 3\n✿RETURN✿")
            val roles = chat.conversation.messages.map { it.role }
            assertEquals(listOf(Role.USER, Role.ASSISTANT, Role.TOOL, Role.ASSISTANT), roles)
            chat.save(File(chats.folder, "saved"))
            assertEquals(
                listOf("add"),
                model
                    .loadChat(File(chats.folder, "saved"))
                    .conversation.tools.names,
            )
            assertFailsWith<UsageException> { chat.askBlocking("?", AskOptions().withTools(listOf(fail))) }
        }
    }
}
