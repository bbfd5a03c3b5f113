package dev.pocketvl.text

import dev.pocketvl.BundleException
import dev.pocketvl.PromptException
import dev.pocketvl.bundle.SpecialTokens
import dev.pocketvl.text.bpe.Nfc
import dev.pocketvl.text.bpe.WordCache
import dev.pocketvl.text.bpe.WordEncoder
import dev.pocketvl.text.bpe.readTokenizerFile
import java.io.File

/**
 * Text to token ids and back, with tokenizer.json of a bundle.
 *
 * Special tokens are found by [encodeTemplate] alone, so that it is always clear which text may hold them: a
 * template's may, a user's may not. Byte-level BPE only: a token stands for bytes. Several threads may use it.
 *
 * Reads [file]; throws [BundleException] if it is missing, damaged or of another kind.
 */
class Tokenizer(private val file: File) {
    private val model = readTokenizerFile(file)
    private val added = model.added.associateBy { it.text }
    private val textOfAdded = model.added.associate { it.id to it.text.toByteArray() }
    private val longestFirst = model.added.sortedByDescending { it.text.length }
    private val cache = WordCache()

    /** Ids of special tokens, which decoding leaves out. */
    val specialIds: Set<Int> = model.added.filter { it.isSpecial }.mapTo(LinkedHashSet()) { it.id }

    /** The texts of all added tokens. */
    internal val addedTexts: Set<String> get() = added.keys

    /** The id of an added token such as <|im_end|>, null if there is none. */
    fun tokenId(text: String): Int? = added[text]?.id

    /**
     * Whether these are the tokens of a model: its control tokens, and an id below [rows] for each.
     *
     * Returns [missing]. Throws [BundleException]: a control token that is not one would be read and written as text.
     */
    fun check(special: SpecialTokens, rows: Int): IntArray {
        val wanted =
            linkedMapOf<String, Int?>(
                "<|image_pad|>" to special.imagePad,
                "<|video_pad|>" to special.videoPad,
                "<|vision_start|>" to special.visionStart,
                "<|vision_end|>" to special.visionEnd,
            )
        if (special.imEnd != null) {
            wanted["<|im_end|>"] = special.imEnd
            wanted["<|im_start|>"] = tokenId("<|im_start|>")
        }
        for ((text, id) in wanted) {
            if (id == null || tokenId(text) != id || id !in specialIds) {
                throw BundleException(
                    "$file lacks the special token $text, or gives it another id than the manifest; copy it again" +
                        " from the model that was exported.",
                )
            }
        }
        for (id in special.eos) {
            if (id !in specialIds) {
                throw BundleException(
                    "$file has no special token $id, which ends an answer; copy it again from the model that was" +
                        " exported.",
                )
            }
        }
        val missing = missing(rows)
        if (rows - missing.size < model.count) {
            throw BundleException(
                "$file has tokens beyond the $rows embeddings of the model; copy it again from the model that was" +
                    " exported.",
            )
        }
        return missing
    }

    /** Ids below [rows] that have no token: weights may have more rows than the vocabulary. */
    fun missing(rows: Int): IntArray {
        val missing = IdList()
        for (id in 0 until rows) if (id !in model.bpe.vocabulary && id !in textOfAdded) missing.add(id)
        return missing.toIntArray()
    }

    /**
     * Ids of ordinary text; what looks like a special token becomes several ordinary ones.
     *
     * Throws [PromptException] for half of a surrogate pair.
     */
    fun encode(text: String): IntArray = IdList().also { encode(text, it) }.toIntArray()

    /** As above, into [ids]. */
    internal fun encode(text: String, ids: IdList) {
        checkUnicode(text)
        val plain = if (model.normalizes) Nfc.normalize(text) else text
        val encoder = WordEncoder(model.bpe)
        var start = 0
        while (start < plain.length) {
            val end = model.words.end(plain, start)
            encoder.take(plain, start, end)
            val known = cache.find(encoder.bytes, encoder.byteCount)
            if (known != null) {
                ids.add(known)
            } else {
                encoder.merge()
                ids.add(encoder.ids, encoder.idCount)
                cache.put(encoder.bytes, encoder.byteCount, encoder.ids, encoder.idCount)
            }
            start = end
        }
    }

    /** Ids of a template's text: added tokens count, all between them is ordinary text. Throws as [encode] does. */
    fun encodeTemplate(text: String): IntArray {
        val ids = IdList()
        var start = 0
        var at = 0
        while (at < text.length) {
            val token = longestFirst.firstOrNull { text.startsWith(it.text, at) }
            if (token == null) {
                at++
                continue
            }
            encode(text.substring(start, at), ids)
            ids.add(token.id)
            at += token.text.length
            start = at
        }
        encode(text.substring(start), ids)
        return ids.toIntArray()
    }

    /** The text of [ids]; bytes that are no UTF-8 become U+FFFD. */
    @JvmOverloads
    fun decode(ids: IntArray, skipSpecial: Boolean = true): String {
        val stream = stream(skipSpecial)
        return ids.joinToString("") { stream.push(it) } + stream.finish()
    }

    /** A decoder for one answer, fed token by token. */
    @JvmOverloads
    fun stream(skipSpecial: Boolean = true): StreamDecoder = StreamDecoder(this, skipSpecial)

    /** UTF-8 bytes of one token, maybe part of a character. An id that the vocabulary lacks has none. */
    @JvmOverloads
    fun tokenBytes(id: Int, skipSpecial: Boolean = true): ByteArray {
        if (skipSpecial && id in specialIds) return NONE
        return textOfAdded[id]?.copyOf() ?: model.bpe.vocabulary.bytes(id) ?: NONE
    }

    private fun checkUnicode(text: String) {
        var at = 0
        while (at < text.length) {
            if (!text[at].isSurrogate()) {
                at++
                continue
            }
            if (!Character.isSurrogatePair(text[at], text.getOrElse(at + 1) { ' ' })) {
                throw PromptException(
                    "The prompt holds half of a surrogate pair, which is no character; pass valid Unicode text.",
                )
            }
            at += 2
        }
    }

    private companion object {
        val NONE = ByteArray(0)
    }
}

/** Pieces of text as tokens arrive; a character is held back until all its bytes are there. */
class StreamDecoder internal constructor(private val tokenizer: Tokenizer, private val skipSpecial: Boolean) {
    private val decoder = Utf8Decoder()

    /** The text that this token completes, maybe none. */
    fun push(id: Int): String = decoder.decode(tokenizer.tokenBytes(id, skipSpecial))

    /** What was held back: U+FFFD if the answer ended inside a character. Ready for another answer. */
    fun finish(): String = decoder.finish()
}
