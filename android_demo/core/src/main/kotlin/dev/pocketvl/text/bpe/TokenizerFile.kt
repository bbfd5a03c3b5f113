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
            if (key == "model") model = BpeReader(file, json).read() else parts[key] = json.value()
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

internal fun unreadable(file: File, why: String?) =
    BundleException("$file is no readable tokenizer ($why); copy or export the bundle again.")

internal fun unsupported(file: File, what: String, value: Any?) =
    BundleException(
        "$file is not a byte-level BPE tokenizer as Qwen2-VL has (its $what is ${"$value".take(200)}); export from a" +
            " Qwen2-VL checkpoint.",
    )

private const val MAX_BYTES = 64L shl 20
internal const val MAX_TOKENS = 1 shl 20

private val STRIPS = listOf("lstrip", "rstrip", "single_word")
private val FLAGS = STRIPS + listOf("normalized", "special")

private val KNOWN =
    setOf(
        "version",
        "truncation",
        "padding",
        "added_tokens",
        "normalizer",
        "pre_tokenizer",
        "post_processor",
        "decoder",
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
