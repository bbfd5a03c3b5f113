package dev.pocketvl.decoding

import dev.pocketvl.BundleException
import dev.pocketvl.EngineException
import dev.pocketvl.Golden
import dev.pocketvl.Matrix
import dev.pocketvl.bundle.EmbeddingTable
import dev.pocketvl.double
import dev.pocketvl.int
import dev.pocketvl.listOf
import org.junit.jupiter.api.io.TempDir
import java.io.File
import java.io.RandomAccessFile
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.Base64
import kotlin.math.pow
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class EmbeddingMapTest {
    @TempDir
    lateinit var folder: File

    private val file get() = folder.resolve("table.bin")

    private fun table(storage: String, rows: Int = 11, columns: Int = 8, dataOffset: Long = 0) =
        EmbeddingTable("table.bin", rows, columns, storage, dataOffset, null, null, null)

    private fun EmbeddingMap.rows(vararg ids: Int, columns: Int = 8) =
        Matrix(ids.size, columns).also { gather(ids, 0, ids.size, it) }.values

    @Test
    fun golden() {
        for (case in Golden.read("embedding")["cases"].listOf<Map<String, Any?>>()) {
            file.writeBytes(Base64.getDecoder().decode(case["file_base64"] as String))
            val table =
                EmbeddingTable(
                    file = "table.bin",
                    rows = case["rows"].int(),
                    columns = case["columns"].int(),
                    storage = case["storage"] as String,
                    dataOffset = case["data_offset"] as Long,
                    scalesOffset = case["scales_offset"] as Long?,
                    scalesDtype = case["scales_dtype"] as String?,
                    groupSize = case["group_size"]?.int(),
                )
            val ids = case["ids"].listOf<Any?>().map { it.int() }.toIntArray()
            val expected = case["expected"].listOf<List<Any?>>().flatten().map { it.double().toFloat() }
            assertEquals(expected, EmbeddingMap(file, table).rows(*ids).toList(), "$case")
        }
    }

    @Test
    fun `every storage and every dtype of scales against plain arithmetic`() {
        val random = Random(4)
        for (storage in listOf("int8", "offset_int8", "int4", "signed_int4")) {
            for (dtype in listOf("float32", "bfloat16", "float16")) {
                for (group in listOf(8, 4, 1)) {
                    val values =
                        Array(11) {
                            IntArray(8) {
                                random.nextInt(
                                    if ("4" in
                                        storage
                                    ) {
                                        -8
                                    } else {
                                        -128
                                    },
                                    if ("4" in storage) 8 else 128,
                                )
                            }
                        }
                    val scales =
                        Array(11) {
                            FloatArray(8 / group) {
                                2f.pow(random.nextInt(-12, 4)) *
                                    (1 + random.nextInt(8) / 8f)
                            }
                        }
                    val data = values.flatMap { packed(it, storage) }.toByteArray()
                    val stored = scales.flatMap { row -> row.flatMap { scaleBytes(it, dtype) } }.toByteArray()
                    file.writeBytes(byteArrayOf(9) + stored + data + byteArrayOf(7)) // scales first, and unaligned
                    val table =
                        EmbeddingTable("t", 11, 8, storage, 1L + stored.size, 1, dtype, group)
                    assertEquals(1L + stored.size + data.size, table.end)
                    val found = EmbeddingMap(file, table).rows(10, 0, 3, 3)
                    val expected =
                        intArrayOf(10, 0, 3, 3).flatMap { row ->
                            List(8) {
                                values[row][it] *
                                    scales[row][it / group]
                            }
                        }
                    assertEquals(expected, found.toList(), "$storage $dtype $group")
                }
            }
        }
    }

    private fun packed(row: IntArray, storage: String): List<Byte> =
        when (storage) {
            "int8" -> row.map { it.toByte() }
            "offset_int8" -> row.map { (it + 128).toByte() }
            "int4" -> row.toList().chunked(2).map { (low, high) -> ((low + 8) or (high + 8 shl 4)).toByte() }
            else -> row.toList().chunked(2).map { (low, high) -> ((low and 15) or (high and 15 shl 4)).toByte() }
        }

    /** The scales here have few digits, so that all dtypes hold them. */
    private fun scaleBytes(scale: Float, dtype: String): List<Byte> {
        val bits = scale.toRawBits()
        val (value, bytes) =
            when (dtype) {
                "float32" -> bits to 4
                "bfloat16" -> (bits ushr 16) to 2
                else -> ((bits ushr 23) - 112 shl 10 or (bits and 0x7FFFFF ushr 13)) to 2
            }
        return List(bytes) { (value shr 8 * it).toByte() }
    }

    @Test
    fun `all halves are read exactly`() {
        // By the formula: (-1)^sign * 2^(e - 15) * (1 + f / 1024), and f / 2^24 where e is 0.
        for (half in 0 until 0x10000) {
            val exponent = half shr 10 and 31
            val fraction = half and 1023
            val magnitude =
                when (exponent) {
                    0 -> fraction * 2.0.pow(-24)
                    31 -> if (fraction == 0) Double.POSITIVE_INFINITY else Double.NaN
                    else -> 2.0.pow(exponent - 15) * (1 + fraction / 1024.0)
                }
            val expected = if (half >= 0x8000) -magnitude else magnitude
            assertEquals(expected.toFloat(), halfToFloat(half), "%04x".format(half))
        }
    }

    @Test
    fun `only the range asked for is written`() {
        val bytes = ByteBuffer.allocate(11 * 8 * 4).order(ByteOrder.LITTLE_ENDIAN)
        repeat(88) { bytes.putFloat(it.toFloat()) }
        file.writeBytes(bytes.array())
        val into = Matrix(3, 8)
        EmbeddingMap(file, table("float32")).gather(intArrayOf(5, 6, 7, 8), 1, 3, into)
        assertContentEquals(FloatArray(16) { 48f + it } + FloatArray(8), into.values)
    }

    @Test
    fun `ids outside the table are named`() {
        file.writeBytes(ByteArray(11 * 8 * 4))
        for (id in listOf(-1, 11, Int.MAX_VALUE, Int.MIN_VALUE)) {
            val thrown = assertFailsWith<EngineException> { EmbeddingMap(file, table("float32")).rows(0, id) }
            assertContains(thrown.message!!, "Token id $id is outside the embedding table of 11 rows")
        }
    }

    @Test
    fun `files that do not fit are refused`() {
        assertContains(
            assertFailsWith<BundleException> { EmbeddingMap(file, table("float32")) }.message!!,
            "table.bin cannot be read",
        )
        for (size in listOf(0, 11 * 8 * 4 - 1)) {
            file.writeBytes(ByteArray(size))
            val thrown = assertFailsWith<BundleException> { EmbeddingMap(file, table("float32")) }
            assertContains(thrown.message!!, "has $size bytes, but its embedding table ends at 352")
        }
        val odd = EmbeddingTable("t", 1, 7, "int4", 0, 100, "float32", 7)
        file.writeBytes(ByteArray(1000))
        assertContains(
            assertFailsWith<BundleException> { EmbeddingMap(file, odd) }.message!!,
            "two columns share a byte",
        )
        val huge = table("float32", Int.MAX_VALUE, Int.MAX_VALUE, Long.MAX_VALUE - 5)
        assertEquals(Long.MAX_VALUE, huge.end)
        assertFailsWith<BundleException> { EmbeddingMap(file, huge) }
    }

    @Test
    fun `rows beyond 2 and 4 GB are found`() {
        val rows = 700_000
        val columns = 2048 // 5.7 GB of holes
        RandomAccessFile(file, "rw").use { opened ->
            opened.setLength(5 + rows.toLong() * columns * 4)
            for (row in listOf(0, 131_071, 131_072, 262_144, 524_287, rows - 1)) {
                opened.seek(5 + row.toLong() * columns * 4)
                opened.write(
                    ByteBuffer
                        .allocate(4)
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .putFloat(row + 0.5f)
                        .array(),
                )
            }
        }
        val map = EmbeddingMap(file, table("float32", rows, columns, 5))
        for (row in listOf(rows - 1, 0, 131_071, 131_072, 262_144, 524_287, 1)) {
            val found = map.rows(row, columns = columns)
            assertEquals(if (row == 1) 0f else row + 0.5f, found[0])
            assertEquals(0f, found[1])
        }
    }
}
