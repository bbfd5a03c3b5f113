package dev.pocketvl.text.tools

import dev.pocketvl.text.Tokenizer
import dev.pocketvl.text.isSpace

/** What an answer does: it says something, or calls a tool. */
internal sealed interface ToolEvent {
    data class Said(val text: String) : ToolEvent

    data class Called(val call: AnyToolCall) : ToolEvent
}

/**
 * An answer's text, piece by piece as it comes, to what is said and what is called; see Format.kt.
 *
 * Text without markers is passed on; space before what may become a marker is held back with it. A call is complete
 * at the next marker, or at the end. Nothing is thrown: a call that cannot be made is an [InvalidToolCall].
 *
 * [callsBefore]: of the conversation, which numbers the ids. [afterResults]: the text begins with the colon that
 * belongs to the marker before it.
 */
internal class ToolStream(private val tools: ToolSet, callsBefore: Int = 0, afterResults: Boolean = false) {
    private enum class State { TEXT, NAME, ARGUMENTS }

    private var number = callsBefore
    private var isAfterColon = !afterResults
    private var state = State.TEXT
    private val held = StringBuilder()

    /** UTF-16 units of [held] in which no marker begins. */
    private var searched = 0
    private var name = ""

    /**
     * The marker that ended the answer, empty so far: that of a result, which is not the model's to write, or of a
     * second call where only one is made at a time.
     */
    var stoppedBy: String = ""
        private set

    /** What this piece completes. After [stoppedBy] is set, nothing. */
    fun push(piece: String): List<ToolEvent> {
        val events = ArrayList<ToolEvent>()
        held.append(piece)
        if (!isAfterColon) {
            if (held.isEmpty() || (held.length == 1 && held[0] == ':')) return events
            keep(withoutColon(held.toString()))
            isAfterColon = true
        }
        if (tools.isEmpty) {
            say(held.toString(), events)
            keep("")
        }
        while (stoppedBy.isEmpty()) {
            val (start, marker) = nextMarker() ?: break
            val before = held.substring(0, start)
            keep(held.substring(start + marker.length))
            searched = 0
            atMarker(marker, before, events)
        }
        if (state == State.TEXT && stoppedBy.isEmpty()) {
            val safe = safeLength(held)
            say(held.substring(0, safe), events)
            keep(held.substring(safe))
        }
        searched = maxOf(0, held.length - LONGEST)
        return events
    }

    /** What was held back, as the answer ends here. */
    fun finish(): List<ToolEvent> {
        val events = ArrayList<ToolEvent>()
        val left = held.toString()
        keep("")
        if (stoppedBy.isNotEmpty()) return events
        if (state != State.TEXT) {
            call(left, events)
        } else {
            say(if (isAfterColon) left else withoutColon(left), events)
        }
        return events
    }

    private fun nextMarker(): Pair<Int, String>? {
        for (start in searched until held.length) {
            if (held[start] != MARKERS[0][0]) continue
            // Arguments of nothing are text.
            val marker = MARKERS.firstOrNull { held.startsWith(it, start) && (state != State.TEXT || it != ARGS) }
            if (marker != null) return start to marker
        }
        return null
    }

    private fun atMarker(marker: String, before: String, events: MutableList<ToolEvent>) {
        var calls = false
        if (state == State.TEXT) {
            say(before.trimEnd { it.isSpace() }, events)
        } else if (state == State.NAME && marker == ARGS) {
            name = withoutColon(before).trim { it.isSpace() }
        } else {
            call(before, events)
            calls = true
        }
        if (marker == RESULT || marker == RETURN || (calls && !tools.parallel)) {
            stoppedBy = marker
            keep("")
        }
        state = if (marker == FUNCTION) State.NAME else State.ARGUMENTS
    }

    /** After its name or its arguments; a name alone calls without arguments. */
    private fun call(said: String, events: MutableList<ToolEvent>) {
        val text = withoutColon(said).trim { it.isSpace() }
        val id = "call_${number++}"
        events.add(
            ToolEvent.Called(
                if (state ==
                    State.NAME
                ) {
                    readCall(id, text, "", tools)
                } else {
                    readCall(id, name, text, tools)
                },
            ),
        )
    }

    private fun say(text: String, events: MutableList<ToolEvent>) {
        if (text.isNotEmpty()) events.add(ToolEvent.Said(text))
    }

    private fun keep(text: String) {
        held.setLength(0)
        held.append(text)
    }
}

/**
 * Of an answer: the tokens before the marker, and a line break after a call, which its result follows.
 *
 * A token that holds more than the marker is encoded anew without it.
 */
internal fun keptTokens(tokens: IntArray, tokenizer: Tokenizer, stoppedBy: String, endsWithCall: Boolean): IntArray {
    val texts = tokens.map { tokenizer.tokenBytes(it, skipSpecial = false) }
    val whole = ByteArray(texts.sumOf { it.size })
    texts.fold(0) { at, bytes -> (at + bytes.size).also { bytes.copyInto(whole, at) } }
    val cut = if (stoppedBy.isEmpty()) whole.size else lastIndexOf(whole, stoppedBy.toByteArray())
    var size = 0
    var count = 0
    while (count < tokens.size && size + texts[count].size <= cut) size += texts[count++].size
    var rest = String(whole, size, cut - size, Charsets.UTF_8)
    if (endsWithCall && (cut == 0 || whole[cut - 1] != '\n'.code.toByte())) rest += "\n"
    return tokens.copyOf(count) + tokenizer.encode(rest)
}

/** -1, as in Python's rfind, is never met: a stream that stopped has seen the marker. */
private fun lastIndexOf(bytes: ByteArray, wanted: ByteArray): Int {
    for (start in bytes.size - wanted.size downTo 0) {
        if (wanted.indices.all { bytes[start + it] == wanted[it] }) return start
    }
    return bytes.size
}

/** UTF-16 units that cannot belong to a marker any more, nor to the space before it. */
private fun safeLength(text: CharSequence): Int {
    var start = text.length
    for (size in minOf(LONGEST - 1, text.length) downTo 1) {
        val tail = text.subSequence(text.length - size, text.length).toString()
        if (MARKERS.any { it.startsWith(tail) }) {
            start -= size
            break
        }
    }
    while (start > 0 && text[start - 1].isSpace()) start--
    return start
}

/** Of what stands after a marker. */
private fun withoutColon(text: String): String =
    if (text.startsWith(":")) text.removePrefix(":").removePrefix(" ") else text

private val MARKERS = listOf(FUNCTION, ARGS, RESULT, RETURN)
private val LONGEST = MARKERS.maxOf { it.length }
