package dev.pocketvl.text.tools

import dev.pocketvl.PromptException
import dev.pocketvl.text.Message

/**
 * [results], messages of the role tool, in the order of the calls that they answer, without their ids.
 *
 * Results without ids are in order already. Throws [PromptException] unless each call has one.
 */
internal fun inOrderOfCalls(calls: List<AnyToolCall>, results: List<Message>, where: String): List<Message> {
    if (calls.isEmpty()) {
        throw PromptException("$where is a tool's result, but the message before it calls no tool.")
    }
    if (results.size != calls.size) {
        throw PromptException(
            "$where begins ${results.size} results for ${calls.size} calls; give one for each.",
        )
    }
    val given = results.map { it.toolCallId }
    if (given.all { it == null }) return results
    val wanted = calls.map { it.id }
    if (given.map { it.orEmpty() }.sorted() != wanted.sorted()) {
        throw PromptException(
            "$where begins the results of the calls ${given.joinToString()}, but the calls were" +
                " ${wanted.joinToString()}; give one toolCallId for each.",
        )
    }
    return wanted.map { id -> Message(results[given.indexOf(id)].role, results[given.indexOf(id)].parts) }
}
