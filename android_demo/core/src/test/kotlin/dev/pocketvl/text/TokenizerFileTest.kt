package dev.pocketvl.text

import dev.pocketvl.BundleException
import dev.pocketvl.json.Json
import org.junit.jupiter.api.io.TempDir
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.MethodSource
import java.io.File
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

/** One fault of a tokenizer.json, and a word of the sentence that names it. */
class Fault(val name: String, val told: String, val change: (String) -> String) {
    override fun toString() = name
}

class TokenizerFileTest {
    @TempDir lateinit var folder: File

    private fun tokenizer(text: String): Tokenizer =
        Tokenizer(folder.resolve("tokenizer.json").also { it.writeText(text) })

    @ParameterizedTest
    @MethodSource("faults")
    fun `a file of another kind is refused in a sentence that names it`(fault: Fault) {
        val changed = fault.change(SMALL)
        assertTrue(changed != SMALL, "the fault changes nothing")
        val error = assertFailsWith<BundleException> { tokenizer(changed) }
        assertTrue(fault.told in error.message!!, error.message)
        assertTrue("tokenizer.json" in error.message!!, error.message)
    }

    @Test
    fun `a missing file is refused`() {
        val error = assertFailsWith<BundleException> { Tokenizer(folder.resolve("no.json")) }
        assertTrue("does not exist" in error.message!!)
    }

    @Test
    fun `a file larger than any tokenizer is refused unread`() {
        val file = folder.resolve("tokenizer.json")
        java.io.RandomAccessFile(file, "rw").use { it.setLength((64L shl 20) + 1) }
        val error = assertFailsWith<BundleException> { Tokenizer(file) }
        assertTrue("more than any tokenizer" in error.message!!)
    }

    @Test
    fun `merges may be written as pairs or with a space`() {
        val pairs = tokenizer(SMALL)
        val spaced = tokenizer(SMALL.replace("[\"a\",\"b\"]", "\"a b\"").replace("[\"ab\",\"c\"]", "\"ab c\""))
        for (text in listOf("abc", "abab", "cab", "aabcc")) {
            assertContentEquals(pairs.encode(text), spaced.encode(text))
        }
        assertEquals(listOf(257), pairs.encode("abc").toList())
    }

    @Test
    fun `the first of equal pairs is merged first`() {
        val tokens = tokenizer(small(listOf("aa", "aaa"), "[\"a\",\"a\"],[\"aa\",\"a\"]"))
        assertEquals(listOf(256), tokens.encode("aa").toList())
        assertEquals(listOf(257), tokens.encode("aaa").toList())
        assertEquals(listOf(256, 257), tokens.encode("aaaaa").toList())
    }

    @Test
    fun `added tokens that are not special keep their text`() {
        val added = ADDED.replace("]", ",${added(259, "<tool>", false)},${added(260, "<tool>x", false)}]")
        val tokens = tokenizer(SMALL.replace(ADDED, added))
        val ids = tokens.encodeTemplate("a<tool>x<tool><|im_end|>")
        assertEquals(listOf(97, 260, 259, 258), ids.toList())
        assertEquals("a<tool>x<tool>", tokens.decode(ids))
        assertTrue(tokens.encode("<tool>").none { it >= 258 })
    }

    @Test
    fun `no normalizer leaves the text as it is`() {
        val tokens = tokenizer(SMALL.replace("{\"type\":\"NFC\"}", "null"))
        assertEquals("e\u0301", tokens.decode(tokens.encode("e\u0301")))
        val composing = tokenizer(SMALL)
        assertEquals("\u00e9", composing.decode(composing.encode("e\u0301")))
    }

    @Test
    fun `an added token of the vocabulary keeps its id`() {
        val tokens = tokenizer(SMALL.replace(added(258, "<|im_end|>", true), added(257, "abc", true)))
        assertEquals(listOf(257), tokens.encodeTemplate("abc").toList())
        assertEquals(258, 258 - tokens.missing(258).size)
    }

    @Test
    fun `SmolLM's words are known, digits apart`() {
        val gpt =
            "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true}," +
                "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}]}"
        val tokens = tokenizer(SMALL.replace(WORDS, gpt))
        assertEquals(listOf(257, ' '.code, '1'.code, '2'.code), tokens.encode("abc 12").toList())
    }

    companion object {
        @JvmStatic
        fun faults(): List<Fault> =
            listOf(
                Fault("cut off", "is no readable tokenizer") { it.dropLast(30) },
                Fault("nothing", "is no readable tokenizer") { "" },
                Fault("an array", "is no readable tokenizer") { "[]" },
                Fault("more text", "more text") { "$it {}" },
                Fault("a key twice", "there twice") { it.replaceFirst("{", "{\"version\":null,\"version\":\"1.0\",") },
                Fault("an unknown key", "'extra'") { it.replaceFirst("{", "{\"extra\":1,") },
                Fault("another version", "version is 2.0") { it.replaceFirst("{", "{\"version\":\"2.0\",") },
                Fault("another normalizer", "normalizer is {type=NFKC}") { it.replace("NFC", "NFKC") },
                Fault("another decoder", "decoder is {type=Fuse}") { it.replace(DECODER, "{\"type\":\"Fuse\"}") },
                Fault("no decoder", "decoder is null") { it.replace(DECODER, "null") },
                Fault("other words", "pre_tokenizer") { it.replace("|\\\\p{N}|", "|\\\\p{N}{1,3}|") },
                Fault("split away", "pre_tokenizer") { it.replace("Isolated", "Removed") },
                Fault(
                    "a prefix space",
                    "pre_tokenizer",
                ) { it.replace("\"add_prefix_space\":false", "\"add_prefix_space\":true") },
                Fault("no words", "pre_tokenizer is null") { it.replace(WORDS, "null") },
                Fault("another model", "model is WordPiece") { it.replace("\"BPE\"", "\"WordPiece\"") },
                Fault("dropout", "model's dropout is 0.1") { it.replace("\"dropout\":null", "\"dropout\":0.1") },
                Fault(
                    "bytes for what is unknown",
                    "byte_fallback",
                ) { it.replace("\"byte_fallback\":false", "\"byte_fallback\":true") },
                Fault(
                    "a suffix",
                    "end_of_word_suffix",
                ) { it.replace("\"dropout\":null", "\"end_of_word_suffix\":\"</w>\"") },
                Fault(
                    "words without merges",
                    "ignore_merges",
                ) { it.replace("\"dropout\":null", "\"ignore_merges\":true") },
                Fault(
                    "a setting of tomorrow",
                    "model's cleverness",
                ) { it.replace("\"dropout\":null", "\"cleverness\":1") },
                Fault("a token twice", "257 is there twice") { it.replace("\"abc\":257", "\"ab\":257") },
                Fault("an id twice", "256 is there twice") { it.replace("\"abc\":257", "\"abc\":256") },
                Fault("a large id", "1048576 lies beyond") { it.replace("\"abc\":257", "\"abc\":1048576") },
                Fault("a larger id", "too large") { it.replace("\"abc\":257", "\"abc\":99999999999999") },
                Fault("an id below 0", "whole number") { it.replace("\"abc\":257", "\"abc\":-1") },
                Fault("half an id", "whole") { it.replace("\"abc\":257", "\"abc\":257.5") },
                Fault("a gap", "have gaps") { it.replace("\"abc\":257", "\"abc\":300") },
                Fault("a token in no bytes", "bytes' characters") { it.replace("\"abc\":257", "\"日\":257") },
                Fault("an empty token", "is empty") { it.replace("\"abc\":257", "\"\":257") },
                Fault("a byte that is missing", "no token for the byte 65") { it.replace("\"A\":65", "\"AAAA\":65") },
                Fault("a merge of nothing", "merge 1") { it.replace("[\"ab\",\"c\"]", "[\"ab\",\"d\"]") },
                Fault("a merge without a half", "merge 1") { it.replace("[\"ab\",\"c\"]", "\"ab\"") },
                Fault("a merge twice", "there twice") { it.replace("[\"ab\",\"c\"]", "[\"a\",\"b\"]") },
                Fault("a merge of three", "']' is missing") { it.replace("[\"ab\",\"c\"]", "[\"a\",\"b\",\"c\"]") },
                Fault("merges first", "before its vocab") {
                    it.replace("\"dropout\":null", "\"merges\":[]").replace(",\"merges\":[[", ",\"dropout\":[[")
                },
                Fault("no model", "no model") { it.replace("\"model\":", "\"padding\":") },
                Fault("half of a character", "half of a character") { it.replace("\"abc\":257", "\"\\ud800\":257") },
                Fault("an added token at another id", "not the next, 258") { it.replace("\"id\":258", "\"id\":400") },
                Fault("an added token over another", "not the next, 258") { it.replace("\"id\":258", "\"id\":7") },
                Fault("an added token without a text", "no id or content") { it.replace("<|im_end|>", "") },
                Fault(
                    "an added token that strips",
                    "strips the text",
                ) { it.replace("\"lstrip\":false", "\"lstrip\":true") },
                Fault("an added token without a flag", "does not say special") { it.replace(",\"special\":true", "") },
            )

        private const val DECODER = "{\"type\":\"ByteLevel\"}"
        private val WORDS =
            "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":" +
                Json.write(
                    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" +
                        "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
                ) + "},\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\"," +
                "\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false}]}"
        private val ADDED = "[${added(258, "<|im_end|>", true)}]"
        internal val SMALL = small(listOf("ab", "abc"), "[\"a\",\"b\"],[\"ab\",\"c\"]")

        private fun added(id: Int, text: String, special: Boolean) =
            "{\"id\":$id,\"content\":\"$text\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false," +
                "\"normalized\":false,\"special\":$special}"

        /** The bytes by their own ids, then [words]; the characters of bytes as GPT-2 writes them. */
        internal fun small(words: List<String>, merges: String): String {
            val characters = byteCharacters()
            val tokens = (0..255).map { characters[it] } + words
            val vocab = tokens.withIndex().joinToString(",") { (id, token) -> "${Json.write(token)}:$id" }
            return "{\"added_tokens\":$ADDED,\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":$WORDS," +
                "\"post_processor\":null,\"decoder\":$DECODER,\"model\":{\"type\":\"BPE\",\"dropout\":null," +
                "\"byte_fallback\":false,\"vocab\":{$vocab},\"merges\":[$merges]}}"
        }

        private fun byteCharacters(): List<String> {
            var next = 0x100
            return (0..255).map { byte ->
                val own = byte in 0x21..0x7e || byte in 0xa1..0xac || byte in 0xae..0xff
                (if (own) byte.toChar() else (next++).toChar()).toString()
            }
        }
    }
}
