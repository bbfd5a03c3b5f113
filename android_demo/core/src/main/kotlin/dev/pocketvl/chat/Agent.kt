package dev.pocketvl.chat

import dev.pocketvl.Chat
import dev.pocketvl.TextListener
import dev.pocketvl.UsageException
import dev.pocketvl.decoding.StopReason
import dev.pocketvl.media.ImageSource
import dev.pocketvl.text.ImagePart
import dev.pocketvl.text.Message
import dev.pocketvl.text.Part
import dev.pocketvl.text.Role
import dev.pocketvl.text.TextPart
import dev.pocketvl.text.tools.AnyToolCall
import dev.pocketvl.text.tools.InvalidToolCall
import dev.pocketvl.text.tools.Tool
import dev.pocketvl.text.tools.ToolCall
import dev.pocketvl.text.tools.ToolSet
import dev.pocketvl.text.tools.writeJson
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.runInterruptible

/** What the loop needs of a [Chat]. */
internal interface Asks {
    var conversation: Conversation

    fun ask(content: Content, options: AskOptions, onText: TextListener?): Answer
}

/** One call and what came of it. [error]: what the handler threw, or why it was not called. */
class CallRecord(val call: AnyToolCall, val result: Any?, val error: String? = null)

/** Gets told of each call after it was made. */
fun interface CallListener {
    fun onCall(record: CallRecord)
}

/** An agent's answer: [text] and [stopReason] are the last answer's. */
class AgentAnswer(
    val text: String,
    val stopReason: StopReason,
    /** Whether it calls more often than it may, which is left undone. */
    val isToolLimit: Boolean,
    /** All of them in order. */
    val answers: List<Answer>,
    /** Those that were answered. */
    val calls: List<CallRecord>,
)

/** How an [Agent] calls. */
data class AgentOptions
    @JvmOverloads
    constructor(
        /** In one question. */
        val maxCalls: Int = DEFAULT_MAX_CALLS,
        /** Whether the model may make several calls at once. */
        val parallel: Boolean = false,
        /** Whether what handlers throw is let through, instead of telling the model. */
        val throwErrors: Boolean = false,
    ) {
        companion object {
            const val DEFAULT_MAX_CALLS = 8
        }
    }

/**
 * A chat whose answers may call functions: asks, calls what the answer calls, gives back what they return.
 *
 *     val agent = Agent(model.chat(), listOf(weather, takePhoto))
 *     println(agent.ask("Do I need an umbrella?").text)
 *
 * A handler returns text, an image, or anything that JSON can say. What it throws is told to the model as text, and
 * so is why a call cannot be made; the model may then try again. Throws [UsageException] for tools without handlers.
 */
class Agent internal constructor(private val chat: Asks, tools: List<Tool>, private val options: AgentOptions) {
    private val tools = ToolSet(tools, options.parallel)

    @JvmOverloads
    constructor(
        chat: Chat,
        tools: List<Tool>,
        options: AgentOptions = AgentOptions(),
    ) : this(Asking(chat), tools, options)

    init {
        val silent = tools.firstOrNull { it.handler == null }
        if (silent != null) throw UsageException("The tool ${silent.name} has no handler to call; give one.")
        if (tools.isEmpty() || options.maxCalls < 1) {
            throw UsageException("An agent needs at least one tool, and maxCalls of at least 1.")
        }
    }

    /**
     * One user turn, to its final answer; handlers and listeners are called in this thread, which waits. Options
     * hold for each answer. If anything throws, the conversation is as it was before.
     *
     * Throws what [Chat.askBlocking] does.
     */
    @JvmOverloads
    @Throws(Exception::class)
    fun askBlocking(
        content: Content,
        options: AskOptions = AskOptions(),
        onText: TextListener? = null,
        onCall: CallListener? = null,
    ): AgentAnswer {
        if (options.tools != null) {
            throw UsageException("An agent's tools are given when it is made; leave them out of the options.")
        }
        val before = chat.conversation
        try {
            return run(content, options, onText, onCall)
        } catch (error: Throwable) {
            try {
                chat.conversation = before
            } catch (refused: UsageException) {
                // somebody else asks already
                error.addSuppressed(refused)
            }
            throw error
        }
    }

    /** As [askBlocking], on threads of [dispatcher]; whoever cancels it interrupts them. */
    suspend fun ask(
        content: Content,
        options: AskOptions = AskOptions(),
        onText: TextListener? = null,
        onCall: CallListener? = null,
        dispatcher: CoroutineDispatcher = Dispatchers.IO,
    ): AgentAnswer = runInterruptible(dispatcher) { askBlocking(content, options, onText, onCall) }

    private fun run(content: Content, options: AskOptions, onText: TextListener?, onCall: CallListener?): AgentAnswer {
        val answers = ArrayList<Answer>()
        val records = ArrayList<CallRecord>()
        answers += chat.ask(content, options.withTools(tools.tools, tools.parallel), onText)
        while (answers.last().toolCalls.isNotEmpty()) {
            val calls = answers.last().toolCalls
            if (records.size + calls.size > this.options.maxCalls) return agentAnswer(answers, records, true)
            val results =
                calls.map { call ->
                    val record = call(call)
                    records += record
                    val result = Message(Role.TOOL, listOf(contentOf(record)), call.id)
                    onCall?.onCall(record)
                    result
                }
            answers += chat.ask(Content.Messages(results), options, onText)
        }
        return agentAnswer(answers, records, false)
    }

    private fun agentAnswer(answers: List<Answer>, records: List<CallRecord>, isToolLimit: Boolean): AgentAnswer =
        AgentAnswer(answers.last().text, answers.last().stopReason, isToolLimit, answers.toList(), records.toList())

    private fun call(call: AnyToolCall): CallRecord =
        when (call) {
            is InvalidToolCall -> {
                CallRecord(call, null, call.reason)
            }

            is ToolCall -> {
                val tool = checkNotNull(tools[call.name]) // the answer's reader checked the name
                try {
                    CallRecord(call, tool.call(call.arguments))
                } catch (error: InterruptedException) {
                    throw error
                } catch (error: Exception) {
                    // whatever the handler throws
                    if (options.throwErrors) throw error
                    CallRecord(call, null, error.message?.ifEmpty { null } ?: error.javaClass.simpleName)
                }
            }
        }

    /** A result as a message's content. */
    private fun contentOf(record: CallRecord): Part {
        val result = record.result
        return when {
            record.error != null -> TextPart("Error: ${record.error}")
            result is ImageSource -> ImagePart(result)
            result is String -> TextPart(result)
            else -> TextPart(jsonOf(record, result))
        }
    }

    private fun jsonOf(record: CallRecord, result: Any?): String =
        try {
            writeJson(result)
        } catch (error: IllegalArgumentException) {
            throw UsageException(
                "The tool ${record.call.name} returned a ${result?.javaClass?.simpleName} that cannot be told to the" +
                    " model (${error.message}); return text, an image, or what JSON can say.",
            )
        }
}

private class Asking(private val chat: Chat) : Asks {
    override var conversation: Conversation by chat::conversation

    override fun ask(content: Content, options: AskOptions, onText: TextListener?): Answer =
        chat.askBlocking(content, options, onText)
}
