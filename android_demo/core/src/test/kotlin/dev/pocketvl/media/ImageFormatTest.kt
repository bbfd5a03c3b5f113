package dev.pocketvl.media

import dev.pocketvl.Golden
import dev.pocketvl.ImageException
import dev.pocketvl.listOf
import java.io.ByteArrayOutputStream
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.util.Base64
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class ImageFormatTest {
    @Test
    fun `every orientation is found in either byte order`() {
        for (value in 1..8) {
            for (little in listOf(true, false)) {
                val header = readImageHeader(jpeg(30, 20, exif(value, little)))
                assertEquals(value, header.orientation.value)
                assertEquals(PixelSize(20, 30), header.stored)
                assertEquals(if (value < 5) PixelSize(20, 30) else PixelSize(30, 20), header.upright)
            }
        }
    }

    @Test
    fun `EXIF that is damaged leaves the image as it is stored`() {
        val sound = exif(6)
        for (length in 6 until sound.size) {
            val found = readImageHeader(jpeg(30, 20, sound.copyOf(length))).orientation
            // The entry's value is its last word but for the link to the next directory.
            val whole = length >= sound.size - 6
            assertEquals(if (whole) Orientation.ROTATE_CLOCKWISE else Orientation.UPRIGHT, found, "$length bytes")
        }
        assertEquals(Orientation.UPRIGHT, readImageHeader(jpeg(30, 20, exif(0))).orientation)
        assertEquals(Orientation.UPRIGHT, readImageHeader(jpeg(30, 20, exif(9))).orientation)
    }

    @Test
    fun `EXIF in two segments is read as one`() {
        val long = exif(8, padding = 70_000)
        val first = long.copyOf(60_000)
        val second = "Exif\u0000\u0000".toByteArray() + long.copyOfRange(60_000, long.size)
        assertEquals(Orientation.ROTATE_COUNTERCLOCKWISE, readImageHeader(jpeg(30, 20, first, second)).orientation)
    }

    @Test
    fun `HEIF says the size of its primary image, turned by its own property`() {
        assertEquals(PixelSize(3024, 4032), readImageHeader(heif(4032, 3024, null)).upright)
        assertEquals(PixelSize(4032, 3024), readImageHeader(heif(4032, 3024, 1)).upright)
        assertEquals(PixelSize(3024, 4032), readImageHeader(heif(4032, 3024, 2)).upright)
        val header = readImageHeader(heif(4032, 3024, 3))
        assertEquals(PixelSize(4032, 3024), header.upright)
        assertEquals(Orientation.UPRIGHT, header.orientation)
        assertEquals(ImageFormat.HEIF, header.format)
    }

    @Test
    fun `an image that would not fit into memory is refused before it is decoded`() {
        fun refusal(data: ByteArray) = assertFailsWith<ImageException> { readImageHeader(data, "bomb") }.message
        assertEquals(
            "bomb has 30000x30000 pixels (the limit for PNG is 89478485); scale it down first.",
            refusal(png(30000, 30000)),
        )
        assertEquals(
            "bomb has 65535x65535 pixels (the limit for JPEG is 268435456); scale it down first.",
            refusal(jpeg(65535, 65535)),
        )
        assertEquals(
            "bomb is a progressive JPEG of 16000x16000 pixels, which takes 768000000 bytes of memory to decode (the" +
                " limit is 600000000); scale it down or save it as baseline JPEG.",
            refusal(jpeg(16000, 16000, marker = 0xC2, sampling = listOf(0x22, 0x11, 0x11))),
        )
        assertEquals("bomb is 0x20 pixels; give an image with pixels in it.", refusal(png(0, 20)))
        assertTrue(readImageHeader(jpeg(16000, 16000)).stored.pixels == 256_000_000L)
    }

    @Test
    fun `what is no image is named, with what to do`() {
        fun refusal(data: String) =
            assertFailsWith<ImageException> { readImageHeader(data.toByteArray(Charsets.ISO_8859_1), "a.x") }.message
        assertEquals("a.x is empty (0 bytes); copy or download the image again.", refusal(""))
        assertEquals("a.x is PDF, a document; save its page as PNG.", refusal("%PDF-1.7"))
        assertEquals(
            "a.x is SVG, which is drawn rather than stored as pixels; export it as PNG.",
            refusal("<?xml version='1.0'?><svg>"),
        )
        assertEquals("a.x is HTML, a web page; save the image itself.", refusal(" <!doctype html>"))
        assertEquals(
            "a.x is video, of many images; save one of its frames as JPEG.",
            refusal("\u0000\u0000\u0000\u0018ftypisom\u0000\u0000\u0000\u0000isom"),
        )
        assertEquals(
            "a.x is not an image in a format that can be read; save it as JPEG, PNG or WebP.",
            refusal("hello"),
        )
    }

    @Test
    fun `a file that cannot be read is an ImageException as well`() {
        assertFailsWith<ImageException> { readImageHeader(File("/nowhere/there is no such.jpg")) }
        val broken =
            object : InputStream() {
                override fun read(): Int = throw IOException("gone")
            }
        assertFailsWith<ImageException> { readImageHeader(broken, "stream") }
    }

    @Test
    fun `large photographs are sampled down, never below what is wanted`() {
        fun sampling(width: Int, height: Int, wanted: PixelSize, vararg segments: ByteArray, marker: Int = 0xC0) =
            readImageHeader(jpeg(width, height, *segments, marker = marker)).sampling(wanted)
        val wanted = PixelSize(756, 1008)
        assertEquals(1, sampling(4000, 3000, wanted))
        assertEquals(2, sampling(8000, 6000, wanted))
        assertEquals(4, sampling(8000, 6000, wanted, marker = 0xC2))
        assertEquals(1, sampling(8000, 6000, PixelSize(4000, 1000)))
        assertEquals(2, sampling(8000, 6000, PixelSize(4000, 1000), exif(6)))
    }

    /** 100,000 with -Dpocketvl.fuzz=100000. */
    @Test
    fun `mutated files give a header or an ImageException`() {
        val files =
            Golden.read("image_files")["cases"].listOf<Map<String, Any?>>().map {
                Base64.getDecoder().decode(it["file_base64"].toString())
            } + listOf(heif(4032, 3024, 1), jpeg(30, 20, exif(6), exif(5, false)))
        val count = Integer.getInteger("pocketvl.fuzz", 2_000)
        val random = Random(7)
        var refused = 0
        repeat(count) { round ->
            val data = mutated(files[round % files.size], random)
            try {
                readImageHeader(data)
            } catch (_: ImageException) {
                refused++
            }
        }
        assertTrue(refused in count / 10..count * 9 / 10, "$refused of $count were refused")
    }

    /** Most changes are near the beginning, where the header is; sizes are the likeliest to do harm. */
    private fun mutated(sound: ByteArray, random: Random): ByteArray {
        var data = sound.copyOf()
        repeat(1 + random.nextInt(4)) {
            if (data.isEmpty()) return data
            val at = if (random.nextInt(4) > 0) random.nextInt(minOf(80, data.size)) else random.nextInt(data.size)
            data = changed(data, at, random)
        }
        return data
    }

    private fun changed(data: ByteArray, at: Int, random: Random): ByteArray {
        val rest = data.copyOfRange(at, data.size)
        when (random.nextInt(6)) {
            0 -> data[at] = random.nextInt().toByte()
            1 -> data[at] = (data[at].toInt() xor (1 shl random.nextInt(8))).toByte()
            2 -> data.fill(if (random.nextBoolean()) -1 else 0, at, minOf(at + 4, data.size))
            3 -> return data.copyOf(at)
            4 -> return data.copyOf(at) + rest.drop(random.nextInt(8))
            else -> return data.copyOf(at) + random.nextBytes(1 + random.nextInt(12)) + rest
        }
        return data
    }

    private fun png(width: Int, height: Int): ByteArray =
        bytes {
            ascii("\u0089PNG\r\n\u001A\n")
            int(13)
            ascii("IHDR")
            int(width)
            int(height)
            repeat(5 + 4) { write(8) }
        }

    private fun jpeg(
        width: Int,
        height: Int,
        vararg segments: ByteArray,
        marker: Int = 0xC0,
        sampling: List<Int> = listOf(0x11, 0x11, 0x11),
    ): ByteArray =
        bytes {
            short(0xFFD8)
            for (segment in segments) {
                short(0xFFE1)
                short(segment.size + 2)
                write(segment)
            }
            short(0xFF00 or marker)
            short(8 + 3 * sampling.size)
            write(8)
            short(height)
            short(width)
            write(sampling.size)
            for ((index, factors) in sampling.withIndex()) {
                write(index)
                write(factors)
                write(0)
            }
            short(0xFFDA)
        }

    /** An APP1 segment's contents; [padding] bytes lie between the header and the directory. */
    private fun exif(orientation: Int, little: Boolean = true, padding: Int = 0): ByteArray =
        bytes {
            fun number(value: Int, size: Int) {
                for (index in 0 until size) write(value ushr 8 * (if (little) index else size - 1 - index))
            }
            ascii("Exif\u0000\u0000")
            ascii(if (little) "II" else "MM")
            number(42, 2)
            number(8 + padding, 4)
            write(ByteArray(padding))
            number(1, 2)
            number(0x0112, 2)
            number(3, 2)
            number(1, 4)
            number(orientation, 2)
            number(0, 2)
            number(0, 4)
        }

    private fun heif(width: Int, height: Int, quarterTurns: Int?): ByteArray {
        fun box(type: String, contents: Bytes.() -> Unit): ByteArray {
            val inside = bytes(contents)
            return bytes {
                int(inside.size + 8)
                ascii(type)
                write(inside)
            }
        }

        fun sides(first: Int, second: Int) = box("ispe") { listOf(0, first, second).forEach { int(it) } }
        val properties =
            box("ipco") {
                write(sides(160, 120))
                write(sides(width, height))
                write(box("irot") { write(quarterTurns ?: 0) })
            }
        val associations =
            box("ipma") {
                int(0)
                int(2)
                short(1)
                listOf(1, 1).forEach { write(it) }
                short(7)
                (if (quarterTurns == null) listOf(1, 2) else listOf(2, 2, 0x83)).forEach { write(it) }
            }
        return box("ftyp") { ascii("heic\u0000\u0000\u0000\u0000mif1heic") } + box("free") { write(ByteArray(40)) } +
            box("meta") {
                int(0)
                write(
                    box("pitm") {
                        int(0)
                        short(7)
                    },
                )
                write(
                    box("iprp") {
                        write(properties)
                        write(associations)
                    },
                )
            }
    }

    private class Bytes : ByteArrayOutputStream() {
        fun short(value: Int) {
            write(value ushr 8)
            write(value)
        }

        fun int(value: Int) {
            short(value ushr 16)
            short(value)
        }

        fun ascii(text: String) = write(text.toByteArray(Charsets.ISO_8859_1))
    }

    private fun bytes(contents: Bytes.() -> Unit): ByteArray = Bytes().apply(contents).toByteArray()
}
