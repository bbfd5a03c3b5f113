package dev.pocketvl.text.bpe

import dev.pocketvl.BundleException
import dev.pocketvl.json.JsonException
import dev.pocketvl.json.JsonStream
import java.io.File
import java.io.IOException

/** A token that a vocabulary of words does not make: <|im_start|>. [isSpecial]: decoding leaves it out. */
internal class AddedToken(val id: Int, val text: String, val isSpecial: Boolean)

/** What a tokenizer.json says. */
internal class TokenizerFile(
    val bpe: Bpe,
    val added: List<AddedToken>,
    /** Whether a text is normalized to form C. */
    val normalizes: Boolean,
    val words: WordSplitter,
) {
    /** Tokens of both kinds. */
    val count: Int = bpe.vocabulary.count + added.count { it.id !in bpe.vocabulary }
}

/**
 * Reads a tokenizer.json of this family: NFC or nothing, Qwen2's words, byte-level BPE, added tokens.
 *
 * All else is refused in a sentence that names it, as is a file of more than 64 MiB or a token id from 2^20 on.
 * Truncation, padding and the post-processor are left aside: a prompt has its own length and its own special tokens.
 * Throws [BundleException].
 */
internal fun readTokenizerFile(file: File): TokenizerFile {
    if (!file.isFile) throw BundleException("$file does not exist; copy or export the bundle again.")
    if (file.length() > MAX_BYTES) {
        throw BundleException("$file has ${file.length()} bytes, more than any tokenizer; copy the bundle again.")
    }
    try {
        return file.inputStream().use { TokenizerFileReader(file, JsonStream(it)).read() }
    } catch (error: JsonException) {
        throw unreadable(file, error.message)
    } catch (error: IOException) {
        throw unreadable(file, error.message)
    }
}

private class TokenizerFileReader(private val file: File, private val json: JsonStream) {
    private val seen = HashSet<String>()
    private val parts = HashMap<String, Any?>()
    private var model: Bpe? = null

    fun read(): TokenizerFile {
        json.members {
            val key = newKey("")
            if (key == "model") model = ModelReader(file, json).read() else parts[key] = json.value()
        }
        json.finish()
        if (parts["version"] != null && parts["version"] != "1.0") refuse("version", parts["version"])
        (parts.keys - KNOWN).firstOrNull()?.let { throw unreadable(file, "the key '${it.take(40)}' is not known") }
        val bpe = model ?: throw unreadable(file, "it has no model")
        val decoder = parts["decoder"] as? Map<*, *>
        if (decoder?.get("type") != "ByteLevel") refuse("decoder", parts["decoder"])
        return TokenizerFile(bpe, added(bpe.vocabulary), normalizes(), words())
    }

    private fun newKey(within: String): String {
        val key = json.string.toString()
        if (!seen.add("$within$key")) json.fail("the key \"${key.take(40)}\" is there twice")
        return key
    }

    private fun normalizes(): Boolean {
        val normalizer = parts["normalizer"] ?: return false
        if (normalizer != mapOf("type" to "NFC")) refuse("normalizer", normalizer)
        return true
    }

    private fun words(): WordSplitter {
        val given = parts["pre_tokenizer"]
        val steps = (given as? Map<*, *>)?.takeIf { it["type"] == "Sequence" }?.get("pretokenizers") as? List<*>
        val found = steps?.map { step -> (step as? Map<*, *>)?.filterKeys { it != "trim_offsets" } }
        return when (found) {
            QWEN -> QwenWords
            SMOLLM -> Gpt2Words
            else -> refuse("pre_tokenizer", given)
        }
    }

    /** Each has the id that the library gives it: its own in the vocabulary, else the next after all before. */
    private fun added(vocabulary: Vocabulary): List<AddedToken> {
        val given = parts["added_tokens"] ?: return emptyList()
        if (given !is List<*>) throw unreadable(file, "added_tokens is no list")
        val tokens = ArrayList<AddedToken>()
        val texts = HashSet<String>()
        var next = vocabulary.count
        for (each in given) {
            val token = addedToken(each)
            if (!texts.add(token.text)) throw unreadable(file, "the added token '${token.text}' is there twice")
            val isOwn = vocabulary.bytes(token.id)?.contentEquals(token.text.toByteArray()) == true
            if (!isOwn && token.id != next) {
                throw unreadable(file, "the added token '${token.text}' has the id ${token.id}, not the next, $next")
            }
            if (!isOwn) next++
            tokens.add(token)
        }
        if (next > vocabulary.count && vocabulary.end > vocabulary.count) {
            throw unreadable(file, "the ids of its vocabulary have gaps")
        }
        return tokens
    }

    private fun addedToken(given: Any?): AddedToken {
        val members = given as? Map<*, *> ?: throw unreadable(file, "an added token is no object")
        val id = members["id"] as? Long
        val text = members["content"] as? String
        if (id == null || id !in 0 until MAX_TOKENS || text.isNullOrEmpty()) {
            throw unreadable(file, "an added token has no id or content that can be")
        }
        for (flag in FLAGS) {
            if (members[flag] !is Boolean) throw unreadable(file, "the added token '$text' does not say $flag")
        }
        if (STRIPS.any { members[it] == true }) {
            throw BundleException(
                "The added token '$text' of $file strips the text around it, which no token of Qwen2-VL does; export" +
                    " the bundle from a Qwen2-VL checkpoint.",
            )
        }
        return AddedToken(id.toInt(), text, members["special"] == true)
    }

    private fun refuse(what: String, value: Any?): Nothing = throw unsupported(file, what, value)
}

/** Reads the member "model". */
private class ModelReader(private val file: File, private val json: JsonStream) {
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
        for ((key, value) in settings) if (value !in USUAL[key].orEmpty()) throw unsupported(file, "model's $key", value)
        if ("vocab" !in seen || "merges" !in seen) throw unreadable(file, "its model has no vocab or no merges")
        val byteIds =
            IntArray(256) { byte ->
                bytes[0] = byte.toByte()
                tokens.find(bytes, 1).also { if (it < 0) throw unreadable(file, "it has no token for the byte $byte") }
            }
        val table = MergeTable(merged.count)
        for (i in 0 until merged.count) {
            if (!table.add(merged.left[i], merged.right[i], merged.result[i])) {
                throw unreadable(file, "the merge of the tokens ${merged.left[i]} and ${merged.right[i]} is there twice")
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

private fun unreadable(file: File, why: String?) =
    BundleException("$file is no readable tokenizer ($why); copy or export the bundle again.")

private fun unsupported(file: File, what: String, value: Any?) =
    BundleException(
        "$file is not a byte-level BPE tokenizer as Qwen2-VL has (its $what is ${"$value".take(200)}); export from a" +
            " Qwen2-VL checkpoint.",
    )

private const val MAX_BYTES = 64L shl 20
private const val MAX_TOKENS = 1 shl 20

private val STRIPS = listOf("lstrip", "rstrip", "single_word")
private val FLAGS = STRIPS + listOf("normalized", "special")

private val KNOWN =
    setOf("version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder")

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

private val QWEN: List<Map<String, Any?>> =
    listOf(
        mapOf(
            "type" to "Split",
            "pattern" to mapOf("Regex" to QwenWords.PATTERN),
            "behavior" to "Isolated",
            "invert" to false,
        ),
        mapOf("type" to "ByteLevel", "add_prefix_space" to false, "use_regex" to false),
    )
private val SMOLLM: List<Map<String, Any?>> =
    listOf(
        mapOf("type" to "Digits", "individual_digits" to true),
        mapOf("type" to "ByteLevel", "add_prefix_space" to false, "use_regex" to true),
    )
