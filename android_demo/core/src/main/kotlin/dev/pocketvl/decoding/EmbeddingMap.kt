package dev.pocketvl.decoding

import dev.pocketvl.BundleException
import dev.pocketvl.EngineException
import dev.pocketvl.Matrix
import dev.pocketvl.bundle.EmbeddingTable
import java.io.File
import java.io.IOException
import java.io.RandomAccessFile
import java.nio.channels.FileChannel

/**
 * Token embeddings, gathered row by row from a memory-mapped file: only rows asked for are ever read.
 *
 * [table] says what is inside [file]. Throws [BundleException] if the file is missing or ends before the table does.
 * The map lives as long as this object is reachable. For one thread at a time.
 */
class EmbeddingMap(file: File, private val table: EmbeddingTable) {
    private val rows: MappedRows
    private val scales: MappedRows?
    private val stored = ByteArray(checkedRowBytes(file, table))
    private val storedScales: ByteArray
    private val rowScales: FloatArray

    init {
        val groups = table.groupSize?.let { table.columns / it } ?: 0
        val scaleBytes = table.scaleRowBytes.toInt()
        try {
            RandomAccessFile(file, "r").use { opened ->
                val size = opened.length()
                if (size < table.end) {
                    throw BundleException(
                        "$file has $size bytes, but its embedding table ends at ${table.end}; the file is cut off:" +
                            " copy or export the bundle again.",
                    )
                }
                val channel = opened.channel
                rows = MappedRows(channel, table.dataOffset, table.rows, stored.size)
                scales = table.scalesOffset?.let { MappedRows(channel, it, table.rows, scaleBytes) }
            }
        } catch (error: IOException) {
            throw BundleException(
                "The embedding table $file cannot be read (${error.message}); copy the bundle again.",
                error,
            )
        }
        storedScales = ByteArray(scaleBytes)
        rowScales = FloatArray(groups)
    }

    /**
     * Fills the rows of [into] (S, columns) with those of the [ids] from index [from] until [until]. Throws
     * [EngineException] for an id outside the table.
     */
    fun gather(ids: IntArray, from: Int, until: Int, into: Matrix) {
        for (index in from until until) {
            val id = ids[index]
            if (id !in 0 until table.rows) {
                throw EngineException(
                    "Token id $id is outside the embedding table of ${table.rows} rows; the tokenizer and the weights" +
                        " do not belong together.",
                )
            }
            rows.read(id, stored)
            val at = (index - from) * table.columns
            unpack(into.values, at)
            if (scales != null) {
                scales.read(id, storedScales)
                scale(into.values, at)
            }
        }
    }

    /** The [stored] row as numbers, not yet scaled, from [at] on. */
    private fun unpack(values: FloatArray, at: Int) {
        when (table.storage) {
            "float32" -> {
                for (i in 0 until table.columns) values[at + i] = Float.fromBits(int32(stored, 4 * i))
            }

            "float16" -> {
                for (i in 0 until table.columns) values[at + i] = halfToFloat(uint16(stored, 2 * i))
            }

            "int8" -> {
                for (i in 0 until table.columns) values[at + i] = stored[i].toFloat()
            }

            "offset_int8" -> {
                for (i in 0 until table.columns) values[at + i] = ((stored[i].toInt() and 0xFF) - 128).toFloat()
            }

            else -> { // low nibble first; int4: value + 8, signed_int4: its sign bit flipped
                val flip = if (table.storage == "signed_int4") 0x88 else 0
                for (i in stored.indices) {
                    val pair = stored[i].toInt() xor flip
                    values[at + 2 * i] = ((pair and 0xF) - 8).toFloat()
                    values[at + 2 * i + 1] = ((pair shr 4 and 0xF) - 8).toFloat()
                }
            }
        }
    }

    private fun scale(values: FloatArray, at: Int) {
        for (group in rowScales.indices) {
            rowScales[group] =
                when (table.scalesDtype) {
                    "float32" -> Float.fromBits(int32(storedScales, 4 * group))
                    "float16" -> halfToFloat(uint16(storedScales, 2 * group))
                    else -> Float.fromBits(uint16(storedScales, 2 * group) shl 16) // bfloat16: a float32's upper half
                }
        }
        val size = table.columns / rowScales.size
        for (group in rowScales.indices) {
            val factor = rowScales[group]
            for (i in at + group * size until at + (group + 1) * size) values[i] *= factor
        }
    }
}

/** Rows of bytes inside a file of any size; a map holds 2 GB at most, so there are several. */
private class MappedRows(channel: FileChannel, offset: Long, rows: Int, private val rowBytes: Int) {
    private val perMap = maxOf(1, MAP_BYTES / maxOf(1, rowBytes))
    private val maps =
        List((rows + perMap - 1) / perMap) { index ->
            val first = index.toLong() * perMap
            val count = minOf(perMap.toLong(), rows - first)
            channel.map(FileChannel.MapMode.READ_ONLY, offset + first * rowBytes, count * rowBytes)
        }

    fun read(row: Int, into: ByteArray) {
        // A duplicate's position is its own; the absolute bulk get came after API 26.
        val map = maps[row / perMap]
        map.position(row % perMap * rowBytes)
        map.get(into)
    }

    private companion object {
        const val MAP_BYTES = 1 shl 30
    }
}

private fun checkedRowBytes(file: File, table: EmbeddingTable): Int {
    if (table.storage.endsWith("int4") && table.columns % 2 != 0) {
        throw BundleException(
            "$file has an ${table.storage} table of ${table.columns} columns, but two columns share a byte; export" +
                " the bundle again.",
        )
    }
    if (table.rowBytes > Int.MAX_VALUE) {
        throw BundleException("$file has rows of ${table.rowBytes} bytes; export the bundle again.")
    }
    return table.rowBytes.toInt()
}

private fun uint16(bytes: ByteArray, at: Int): Int =
    (bytes[at].toInt() and 0xFF) or (bytes[at + 1].toInt() and 0xFF shl 8)

private fun int32(bytes: ByteArray, at: Int): Int = uint16(bytes, at) or (uint16(bytes, at + 2) shl 16)

/** IEEE 754 binary16 to binary32, exactly. */
internal fun halfToFloat(half: Int): Float {
    val sign = half and 0x8000 shl 16
    val exponent = half shr 10 and 0x1F
    val fraction = half and 0x3FF
    val magnitude =
        when (exponent) {
            0 -> return Float.fromBits(sign or (fraction * SUBNORMAL).toRawBits())
            0x1F -> 0x7F800000 or (fraction shl 13)
            else -> (exponent + 112 shl 23) or (fraction shl 13)
        }
    return Float.fromBits(sign or magnitude)
}

private const val SUBNORMAL = 1f / (1 shl 24)
