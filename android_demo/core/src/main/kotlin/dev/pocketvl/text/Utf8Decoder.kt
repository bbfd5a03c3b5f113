package dev.pocketvl.text

/**
 * UTF-8 to text piece by piece: a character is held back until all its bytes are there.
 *
 * What is no UTF-8 becomes U+FFFD, one for each maximal subpart (Unicode, chapter 3.9), as in Python; Java's own
 * decoders differ from each other in that.
 */
internal class Utf8Decoder {
    /** The character so far. */
    private var code = 0

    /** Bytes that it lacks. */
    private var missing = 0

    /** The range of its next byte. */
    private var least = 0x80
    private var most = 0xbf

    /** The text that [bytes] complete. */
    fun decode(bytes: ByteArray): String {
        if (bytes.isEmpty()) return ""
        val out = StringBuilder(bytes.size)
        for (byte in bytes) push(byte.toInt() and 0xff, out)
        return out.toString()
    }

    /** U+FFFD if the bytes ended inside a character. Ready for another text. */
    fun finish(): String = if (missing > 0) REPLACEMENT.toString().also { missing = 0 } else ""

    private fun push(byte: Int, out: StringBuilder) {
        if (missing > 0) {
            if (byte in least..most) {
                code = code shl 6 or (byte and 0x3f)
                least = 0x80
                most = 0xbf
                if (--missing == 0) out.appendCodePoint(code)
                return
            }
            missing = 0
            out.append(REPLACEMENT)
        }
        when (byte) {
            in 0x00..0x7f -> out.append(byte.toChar())
            in 0xc2..0xdf -> begin(byte and 0x1f, 1)
            in 0xe0..0xef -> begin(byte and 0x0f, 2, if (byte == 0xe0) 0xa0 else 0x80, if (byte == 0xed) 0x9f else 0xbf)
            in 0xf0..0xf4 -> begin(byte and 0x07, 3, if (byte == 0xf0) 0x90 else 0x80, if (byte == 0xf4) 0x8f else 0xbf)
            else -> out.append(REPLACEMENT)
        }
    }

    private fun begin(bits: Int, more: Int, least: Int = 0x80, most: Int = 0xbf) {
        code = bits
        missing = more
        this.least = least
        this.most = most
    }

    private companion object {
        const val REPLACEMENT = '\ufffd'
    }
}
