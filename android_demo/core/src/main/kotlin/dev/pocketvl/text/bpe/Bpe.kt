package dev.pocketvl.text.bpe

/**
 * A byte-level BPE model: [byteIds] are the tokens of the 256 single bytes (-1: none), from which [merges] make longer
 * ones.
 */
internal class Bpe(val vocabulary: Vocabulary, val merges: MergeTable, val byteIds: IntArray)

/**
 * The characters by which a vocabulary writes bytes: printable Latin-1 as itself, the other bytes in order as U+0100
 * and up (GPT-2's alphabet).
 */
internal object ByteAlphabet {
    private val bytes = ShortArray(0x200) { -1 }

    init {
        var next = 0x100
        for (byte in 0..0xff) {
            val isPrintable = byte in 0x21..0x7e || byte in 0xa1..0xac || byte in 0xae..0xff
            bytes[if (isPrintable) byte else next++] = byte.toShort()
        }
    }

    /** -1 for a character that stands for none. */
    fun byteOf(char: Char): Int = if (char.code < bytes.size) bytes[char.code].toInt() else -1
}
