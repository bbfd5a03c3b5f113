package dev.pocketvl.chat.saved

import dev.pocketvl.CacheTensor
import dev.pocketvl.ConversationException
import dev.pocketvl.json.Json
import dev.pocketvl.members
import org.junit.jupiter.api.io.TempDir
import java.io.File
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest
import kotlin.random.Random
import kotlin.test.BeforeTest
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class TensorFileTest {
    @TempDir
    lateinit var folder: File
    private val file get() = File(folder, "saved")
    private val most = 1L shl 20
    private val tensors =
        mapOf(
            "a" to CacheTensor("float32", listOf(2, 3), ByteArray(24) { it.toByte() }),
            "half" to CacheTensor("float16", listOf(1, 2), ByteArray(4) { 7 }),
            "none" to CacheTensor("int64", listOf(3, 0), ByteArray(0)),
            "b" to CacheTensor("int64", listOf(2), ByteArray(16) { -1 }),
        )
    private val texts = mapOf("one" to "ein Wörtchen", "two" to "{}")

    @BeforeTest
    fun write() = TensorFile(texts, tensors).write(file)

    @Test
    fun `what is written is read`() {
        val read = TensorFile.read(file, most)
        assertEquals(texts, read.texts)
        assertEquals(tensors.keys.toList(), read.tensors.keys.toList())
        for ((name, tensor) in tensors) {
            val found = read.tensors.getValue(name)
            assertEquals(tensor.dtype to tensor.shape, found.dtype to found.shape)
            assertContentEquals(tensor.bytes, found.bytes)
        }
        assertEquals(listOf("saved"), folder.list()!!.toList())
    }

    @Test
    fun `the hash is over all that comes before it, and data begin at a multiple of eight`() {
        val data = file.readBytes()
        val expected = MessageDigest.getInstance("SHA-256").digest(data.copyOf(data.size - 32))
        assertContentEquals(expected, data.copyOfRange(data.size - 32, data.size))
        assertEquals(0, headerSize(data) % 8)
    }

    @Test
    fun `a failed write leaves what was there`() {
        val before = file.readBytes()
        assertFailsWith<ConversationException> {
            TensorFile(emptyMap(), mapOf("a" to CacheTensor("int8", listOf(1), ByteArray(1)))).write(file)
        }
        assertFailsWith<IOException> { TensorFile(texts, tensors).write(File(folder, "nowhere/saved")) }
        val taken = File(folder, "taken").apply { mkdir() }
        File(taken, "child").writeText("")
        assertFailsWith<IOException> { TensorFile(texts, tensors).write(taken) }
        assertContentEquals(before, file.readBytes())
        assertEquals(setOf("saved", "taken"), folder.list()!!.toSet())
    }

    @Test
    fun `damage anywhere is refused`() {
        val whole = file.readBytes()
        val random = Random(1)
        repeat(2000) { round ->
            val place = random.nextInt(whole.size)
            val damaged =
                when (round % 3) {
                    0 -> {
                        whole.copyOf().also { it[place] = (it[place] + random.nextInt(1, 256)).toByte() }
                    }

                    1 -> {
                        whole.copyOf(place)
                    }

                    else -> {
                        whole.copyOf(place) + random.nextBytes(random.nextInt(1, 40)) +
                            whole.copyOfRange(place, whole.size)
                    }
                }
            file.writeBytes(damaged)
            val refused = assertFailsWith<ConversationException> { TensorFile.read(file, most) }
            assertContains(refused.message!!, "damaged or no saved conversation")
        }
    }

    @Test
    fun `a header that lies is refused, though the hash is right`() {
        fun entry(dtype: Any?, shape: Any?, vararg offsets: Long) =
            mapOf("dtype" to dtype, "shape" to shape, "data_offsets" to offsets.toList())
        val cases =
            listOf(
                "a" to entry("F32", listOf(1L shl 30, 1L shl 30), 0, 24) to "other bytes",
                "a" to entry("F32", listOf(1L shl 40, 1L shl 40), 0, 24) to "not whole numbers",
                "a" to entry("F32", listOf(2, 3), 8, 32) to "other bytes",
                "a" to entry("F32", listOf(2, -3), 0, 24) to "not whole numbers",
                "a" to entry("F32", listOf(2, true), 0, 24) to "not whole numbers",
                "a" to entry("F32", listOf(2, 3.0), 0, 24) to "not whole numbers",
                "a" to entry("F32", List(9) { 1 }, 0, 24) to "not whole numbers",
                "a" to entry(listOf("F32"), listOf(2, 3), 0, 24) to "unknown dtype",
                "a" to entry("I4", listOf(2, 3), 0, 24) to "unknown dtype",
                "a" to emptyList<Any>() to "not described by",
                "__metadata__" to mapOf("one" to 1) to "not texts",
                "z" to entry("U8", listOf(0), 84, 84) to "other bytes",
            )
        for ((change, sentence) in cases) {
            write()
            val data = file.readBytes()
            val header = Json.parse(data.decodeToString(8, 8 + headerSize(data)).trimEnd()).members()
            file.writeBytes(withHeader(data, Json.write(header + change).encodeToByteArray()))
            val refused = assertFailsWith<ConversationException>("$change") { TensorFile.read(file, most) }
            assertContains(refused.message!!, sentence)
        }
    }

    @Test
    fun `another header is refused`() {
        val cases =
            mapOf(
                "[]" to "no object",
                "[".repeat(100_000) to "nesting",
                """{"a": 1, "a": 2}""" to "there twice",
                "{}" to "does not end with its hash",
                """{"a": ${"9".repeat(10_000)}}""" to "4300 digits",
                "" to "too early",
            )
        for ((header, sentence) in cases) {
            write()
            file.writeBytes(withHeader(file.readBytes(), header.encodeToByteArray()))
            val refused = assertFailsWith<ConversationException>(header.take(20)) { TensorFile.read(file, most) }
            assertContains(refused.message!!, sentence)
        }
        write()
        file.writeBytes(withHeader(file.readBytes(), byteArrayOf(-1)))
        assertContains(assertFailsWith<ConversationException> { TensorFile.read(file, most) }.message!!, "UTF-8")
    }

    @Test
    fun `a header that ends outside of the file is refused`() {
        for (size in listOf(Long.MIN_VALUE, -1L, 1L shl 40, 17L shl 20)) {
            write()
            val data = file.readBytes()
            littleEndian(data).putLong(0, size)
            file.writeBytes(hashed(data.copyOf(data.size - 32)))
            val refused = assertFailsWith<ConversationException> { TensorFile.read(file, most) }
            assertContains(refused.message!!, "outside of the file")
        }
    }

    @Test
    fun `what is no file, or larger than any, is not read`() {
        java.io.RandomAccessFile(file, "rw").use { it.setLength(64L shl 20) }
        val cases =
            mapOf(
                file to "more than the limit",
                folder to "is a folder",
                File(folder, "none") to "does not exist",
            )
        for ((path, sentence) in cases) {
            val refused = assertFailsWith<ConversationException> { TensorFile.read(path, most) }
            assertContains(refused.message!!, sentence)
        }
    }

    private fun littleEndian(data: ByteArray) = ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN)

    private fun headerSize(data: ByteArray): Int = littleEndian(data).getLong(0).toInt()

    private fun hashed(data: ByteArray): ByteArray = data + MessageDigest.getInstance("SHA-256").digest(data)

    /** The file with another header, and the hash to it. */
    private fun withHeader(data: ByteArray, header: ByteArray): ByteArray {
        val size = ByteArray(8).also { littleEndian(it).putLong(0, header.size.toLong()) }
        return hashed(size + header + data.copyOfRange(8 + headerSize(data), data.size - 32))
    }
}
