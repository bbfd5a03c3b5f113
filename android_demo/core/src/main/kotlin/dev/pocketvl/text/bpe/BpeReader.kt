package dev.pocketvl.text.bpe

import dev.pocketvl.json.JsonStream
import java.io.File

/** Reads the member "model" of a tokenizer.json: vocabulary and merges, without a value for each. */
internal class BpeReader(private val file: File, private val json: JsonStream) {
    private val tokens = VocabularyBuilder()
    private val merged = IntPairs()
    private var bytes = ByteArray(256)
    private val settings = HashMap<String, Any?>()
    private val seen = HashSet<String>()

    fun read(): Bpe {
        json.members {
            val key = json.string.toString()
            if (!seen.add(key)) json.fail("the key \"${key.take(40)}\" is there twice")
            when (key) {
                "vocab" -> vocabulary()
                "merges" -> merges()
                else -> settings[key] = json.value()
            }
        }
        if (settings["type"] ?: "BPE" != "BPE") throw unsupported(file, "model", settings["type"])
        for ((key, value) in settings) {
            val usual = USUAL[key].orEmpty()
            if (value !in usual) throw unsupported(file, "model's $key", value)
        }
        if ("vocab" !in seen || "merges" !in seen) throw unreadable(file, "its model has no vocab or no merges")
        val byteIds =
            IntArray(256) { byte ->
                bytes[0] = byte.toByte()
                val id = tokens.find(bytes, 1)
                if (id < 0 && byte !in RARE_BYTES) throw unreadable(file, "it has no token for the byte $byte")
                id
            }
        val table = MergeTable(merged.count)
        for (i in 0 until merged.count) {
            if (!table.add(merged.left[i], merged.right[i], merged.result[i])) {
                throw unreadable(
                    file,
                    "the merge of the tokens ${merged.left[i]} and ${merged.right[i]} is there twice",
                )
            }
        }
        return Bpe(tokens.build(), table, byteIds)
    }

    private fun vocabulary() {
        json.members {
            val size = toBytes(0, json.string.length, 0)
            val name = if (size < 0) json.string.toString() else ""
            val id = json.count()
            if (size < 0) throw unreadable(file, "the token '${name.take(40)}' is not written in bytes' characters")
            if (size == 0) throw unreadable(file, "the token $id is empty")
            if (id >= MAX_TOKENS) throw unreadable(file, "the id $id lies beyond $MAX_TOKENS")
            if (tokens.put(bytes, size, id) != VocabularyBuilder.Outcome.ADDED) {
                throw unreadable(file, "the token $id is there twice")
            }
        }
    }

    /** Pairs as "a b" or ["a", "b"]. */
    private fun merges() {
        if ("vocab" !in seen) throw unreadable(file, "its merges stand before its vocab")
        json.elements {
            if (json.peek() == '[') {
                json.expect('[')
                json.readString()
                val left = toBytes(0, json.string.length, 0)
                json.expect(',')
                json.readString()
                merge(left, toBytes(0, json.string.length, maxOf(0, left)))
                json.expect(']')
            } else {
                json.readString()
                val space = json.string.indexOf(" ")
                val left = if (space > 0) toBytes(0, space, 0) else -1
                merge(left, toBytes(space + 1, json.string.length, maxOf(0, left)))
            }
        }
    }

    /** Of the first [left] bytes and those up to [end]; -1: what they were written with is none. */
    private fun merge(left: Int, end: Int) {
        val first = if (left > 0) tokens.find(bytes, left) else -1
        val result = if (end > 0) tokens.find(bytes, end) else -1
        val second = if (left > 0 && end > left) findFrom(left, end) else -1
        if (first < 0 || second < 0 || result < 0) {
            throw unreadable(file, "the merge ${merged.count} is not of two tokens that make one")
        }
        merged.add(first, second, result)
    }

    private fun findFrom(start: Int, end: Int): Int = bytes.copyOfRange(start, end).let { tokens.find(it, it.size) }

    /** Of characters [from] until [until] of the string into [bytes] from [start] on: the end, or -1. */
    private fun toBytes(from: Int, until: Int, start: Int): Int {
        if (start + until - from > bytes.size) bytes = bytes.copyOf(2 * (start + until - from))
        var at = start
        for (i in from until until) {
            val byte = ByteAlphabet.byteOf(json.string[i])
            if (byte < 0) return -1
            bytes[at++] = byte.toByte()
        }
        return at
    }
}

/** Merges as they are read. */
private class IntPairs {
    var left = IntArray(1024)
    var right = IntArray(1024)
    var result = IntArray(1024)
    var count = 0

    fun add(first: Int, second: Int, becomes: Int) {
        if (count == left.size) {
            left = left.copyOf(2 * count)
            right = right.copyOf(2 * count)
            result = result.copyOf(2 * count)
        }
        left[count] = first
        right[count] = second
        result[count++] = becomes
    }
}

/** Values with which merging is what it is here. */
private val USUAL: Map<String, List<Any?>> =
    mapOf(
        "type" to listOf("BPE"),
        "dropout" to listOf(null, 0.0, 0L),
        "unk_token" to listOf(null),
        "continuing_subword_prefix" to listOf(null, ""),
        "end_of_word_suffix" to listOf(null, ""),
        "fuse_unk" to listOf(false, true),
        "byte_fallback" to listOf(false),
        "ignore_merges" to listOf(false),
    )

/** Control characters, empty planes of Unicode, and bytes that UTF-8 has not: some vocabularies lack them. */
private val RARE_BYTES = (0x00..0x1f) + 0xc0 + 0xc1 + (0xf1..0xff)
