package dev.pocketvl.text

import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertEquals

class Utf8DecoderTest {
    private fun decoded(vararg bytes: Int): String =
        Utf8Decoder().let { it.decode(ByteArray(bytes.size) { i -> bytes[i].toByte() }) + it.finish() }

    @Test
    fun `what is no UTF-8 becomes a replacement for each maximal subpart`() {
        assertEquals("\ufffda", decoded(0xf0, 0x9f, 0x98, 0x61))
        assertEquals("\ufffd\ufffd", decoded(0xe0, 0x80))
        assertEquals("\ufffd\ufffd\ufffd", decoded(0xed, 0xa0, 0x80))
        assertEquals("\ufffd\ufffd\ufffd\ufffd", decoded(0xf4, 0x90, 0x80, 0x80))
        assertEquals("\ufffd\ufffd", decoded(0xc0, 0xaf))
        assertEquals("\ufffd", decoded(0xe2, 0x82))
        assertEquals("\u20ac\ufffd", decoded(0xe2, 0x82, 0xac, 0xff))
    }

    @Test
    fun `characters come out whole however they are cut`() {
        val random = Random(1)
        val text = "aé日🙂\u0000\u07ff\u0800\uffff\ud800\udc00\udbff\udfff".repeat(3)
        val bytes = text.toByteArray()
        repeat(200) {
            val decoder = Utf8Decoder()
            val out = StringBuilder()
            var at = 0
            while (at < bytes.size) {
                val end = minOf(bytes.size, at + random.nextInt(4))
                val piece = decoder.decode(bytes.copyOfRange(at, end))
                assertEquals(piece, String(piece.toByteArray()), "half of a character")
                out.append(piece)
                at = end
            }
            assertEquals(text, out.append(decoder.finish()).toString())
        }
    }
}
