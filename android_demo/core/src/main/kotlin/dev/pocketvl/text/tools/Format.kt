package dev.pocketvl.text.tools

import dev.pocketvl.text.CallPart
import dev.pocketvl.text.GoesOn
import dev.pocketvl.text.Message
import dev.pocketvl.text.ObjectRef
import dev.pocketvl.text.Part
import dev.pocketvl.text.Role
import dev.pocketvl.text.TextPart

// Tools, calls and results as text, in the form that Qwen2-VL was trained on.
//
// It is qwen_agent's, prompt type "qwen": the tools are described in the system turn; a call, its result and the
// reply stand in one turn of the assistant, each after a marker between two U+273F signs:
//
//     <|im_start|>assistant
//     ✿FUNCTION✿: tap
//     ✿ARGS✿: {"x": 10, "y": 20}
//     ✿RESULT✿: done
//     ✿RETURN✿: The button is pressed.<|im_end|>
//
// The markers are ordinary text, so whatever else is said must not hold them: in a conversation with tools, the sign
// becomes U+2740 in texts and results, and an escape in JSON.

private const val SIGN = "\u273f"
private const val OTHER_SIGN = "\u2740"
internal const val FUNCTION = "${SIGN}FUNCTION$SIGN"
internal const val ARGS = "${SIGN}ARGS$SIGN"
internal const val RESULT = "${SIGN}RESULT$SIGN"
internal const val RETURN = "${SIGN}RETURN$SIGN"

/** The chat template's own. */
private const val DEFAULT_SYSTEM = "You are a helpful assistant."

private const val ONE_BY_ONE =
    "## When you need to call a tool, please insert the following command in your reply, which can be called zero or" +
        " multiple times according to your needs:\n\n" +
        "$FUNCTION: The tool to use, should be one of [NAMES]\n" +
        "$ARGS: The input of the tool\n" +
        "$RESULT: Tool results\n" +
        "$RETURN: Reply based on tool results. Images need to be rendered as ![](url)"

private const val PARALLEL =
    "## Insert the following command in your reply when you need to call N tools in parallel:\n\n" +
        "$FUNCTION: The name of tool 1, should be one of [NAMES]\n" +
        "$ARGS: The input of tool 1\n" +
        "$FUNCTION: The name of tool 2\n" +
        "$ARGS: The input of tool 2\n" +
        "...\n" +
        "$FUNCTION: The name of tool N\n" +
        "$ARGS: The input of tool N\n" +
        "$RESULT: The result of tool 1\n" +
        "$RESULT: The result of tool 2\n" +
        "...\n" +
        "$RESULT: The result of tool N\n" +
        "$RETURN: Reply based on tool results. Images need to be rendered as ![](url)"

/**
 * Messages with calls, results and tools as text; of the roles system, user and assistant alone.
 *
 * [beginning]: whether a conversation begins with them; else they follow what was fed before, results after an
 * assistant's calls and a line break. Results at the end leave the assistant's turn open, where it goes on. Without
 * tools, calls and results nothing is changed.
 */
internal fun inToolFormat(messages: List<Message>, tools: ToolSet, beginning: Boolean = true): List<Message> {
    if (tools.isEmpty && messages.none { it.role == Role.TOOL || it.calls.isNotEmpty() }) return messages
    val turns = ArrayList<Turn>()
    for (message in messages) {
        val pieces = message.parts.map(::plain)
        if (message.role == Role.TOOL) {
            addResult(turns, pieces)
        } else if (message.role == Role.ASSISTANT && waits(turns)) {
            val said = turns.last().pieces
            said.removeAt(said.size - 1)
            said.add(text(": "))
            said.addAll(pieces)
        } else {
            turns.add(Turn(message.role, pieces))
        }
    }
    if (!tools.isEmpty && beginning) addTools(turns, tools)
    return turns.map { Message(it.role, joined(it.pieces)) }
}

/** What the system turn says of them. */
internal fun describeTools(tools: ToolSet): String {
    val descriptions = tools.tools.joinToString("\n\n", transform = ::describe)
    val commands = (if (tools.parallel) PARALLEL else ONE_BY_ONE).replace("NAMES", tools.names.joinToString(","))
    return "# Tools\n\n## You have access to the following tools:\n\n$descriptions\n\n$commands"
}

private class Turn(val role: Role, pieces: List<Piece>) {
    val pieces = pieces.toMutableList()
}

/** [beginsLine]: a call's text, which begins a line of its own. */
private class Piece(val part: Part, val beginsLine: Boolean = false)

private fun text(text: String) = Piece(TextPart(text))

private fun describe(tool: Tool): String {
    val parameters = escaped(writeJson(tool.parameters))
    val description = "${tool.name}: ${harmless(tool.description)} Parameters: $parameters"
    return "### ${tool.name}\n\n$description Format the arguments as a JSON object."
}

private fun plain(part: Part): Piece =
    when (part) {
        is TextPart -> Piece(TextPart(harmless(part.text)))
        is ObjectRef -> Piece(ObjectRef(harmless(part.text)))
        is CallPart -> Piece(TextPart("$FUNCTION: ${harmless(part.call.name)}\n$ARGS: ${arguments(part.call)}"), true)
        else -> Piece(part)
    }

private fun arguments(call: AnyToolCall): String =
    when (call) {
        is ToolCall -> escaped(call.raw).ifEmpty { "{}" }
        is InvalidToolCall -> harmless(call.raw)
    }

private fun addResult(turns: MutableList<Turn>, pieces: List<Piece>) {
    // The first follows what was fed before, which ends with a line break.
    val first = turns.isEmpty()
    if (first) turns.add(Turn(Role.ASSISTANT, emptyList()))
    val said = turns.last().pieces
    if (waits(turns)) repeat(2) { said.removeAt(said.size - 1) }
    said.add(text(if (first) "$RESULT: " else "\n$RESULT: "))
    said.addAll(pieces)
    said.add(text("\n$RETURN"))
    said.add(Piece(GoesOn))
}

/** Whether the last turn is the assistant's, open after results. */
private fun waits(turns: List<Turn>): Boolean =
    turns
        .lastOrNull()
        ?.pieces
        ?.lastOrNull()
        ?.part == GoesOn

private fun addTools(turns: MutableList<Turn>, tools: ToolSet) {
    if (turns.firstOrNull()?.role != Role.SYSTEM) turns.add(0, Turn(Role.SYSTEM, listOf(text(DEFAULT_SYSTEM))))
    turns.first().pieces.add(text("\n\n" + describeTools(tools)))
}

/** Neighbouring texts as one, as a template sees them. */
private fun joined(pieces: List<Piece>): List<Part> {
    val joined = ArrayList<Part>()
    for (piece in pieces) {
        val part = piece.part
        val before = joined.lastOrNull()
        if (part is TextPart && before is TextPart) {
            val lineBreak = if (piece.beginsLine && before.text.isNotEmpty()) "\n" else ""
            joined[joined.size - 1] = TextPart(before.text + lineBreak + part.text)
        } else {
            joined.add(part)
        }
    }
    return joined
}

/** [text] without signs that could make a marker. */
private fun harmless(text: String): String = text.replace(SIGN, OTHER_SIGN)

private fun escaped(json: String): String = json.replace(SIGN, "\\u273f")
