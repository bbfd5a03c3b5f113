package dev.pocketvl.text

import dev.pocketvl.PromptException
import dev.pocketvl.text.tools.ToolCall
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class MessagesTest {
    private val user = Message(Role.USER, "Hi")
    private val said = Message(Role.ASSISTANT, "Ho")

    private fun calls(vararg ids: String) =
        Message(Role.ASSISTANT, ids.map { CallPart(ToolCall(it, "tap", emptyMap(), "")) })

    private fun result(id: String?, text: String) = Message(Role.TOOL, listOf(TextPart(text)), id)

    @Test
    fun `results come in the order of the calls`() {
        val messages = listOf(user, calls("a", "b"), result("b", "two"), result("a", "one"), said, user)
        val checked = checkConversation(messages)
        assertEquals(listOf(result(null, "one"), result(null, "two")), checked.subList(2, 4))
        val inOrder = listOf(user, calls("a", "b"), result(null, "one"), result(null, "two"))
        assertEquals(inOrder, checkConversation(inOrder))
        assertEquals(
            listOf(result(null, "one")),
            checkResults(listOf(result("a", "one")), calls("a").calls),
        )
    }

    @Test
    fun `conversations that cannot be meant are refused`() {
        val odd =
            mapOf(
                emptyList<Message>() to "at least one",
                listOf(Message(Role.USER, emptyList())) to "messages[0]",
                listOf(user, said) to "role assistant",
                listOf(user, Message(Role.SYSTEM, "Be brief"), user) to "messages[1]",
                listOf(Message(Role.SYSTEM, "Be brief")) to "role system",
                listOf(result("a", "one")) to "calls no tool",
                listOf(user, said, result("a", "one")) to "calls no tool",
                listOf(user, calls("a", "b"), result("a", "one")) to "1 results for 2 calls",
                listOf(user, calls("a", "b"), result("a", "one"), result("a", "one")) to "calls a, a",
                listOf(user, calls("a", "b"), result("a", "one"), result(null, "one")) to "for each",
                listOf(user, calls("a"), result("a", "one"), user) to "messages[3]",
                listOf(user, calls("a", "a"), result("a", "1"), result("a", "2")) to "twice",
                listOf(calls("a").copy(role = Role.USER)) to "only the assistant",
                listOf(user.copy(toolCallId = "a")) to "toolCallId",
                listOf(Message(Role.USER, listOf(TextPart("a"), GoesOn))) to "leave it out",
            )
        for ((messages, told) in odd) {
            val error = assertFailsWith<PromptException>(told) { checkConversation(messages) }
            assertTrue(told in error.message!!, error.message)
        }
        assertFailsWith<PromptException> { checkResults(listOf(user), calls("a").calls) }
    }
}
