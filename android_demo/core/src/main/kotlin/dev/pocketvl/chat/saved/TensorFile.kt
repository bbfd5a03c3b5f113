package dev.pocketvl.chat.saved

import dev.pocketvl.CacheTensor
import dev.pocketvl.ConversationException
import dev.pocketvl.json.Json
import dev.pocketvl.json.JsonException
import java.io.DataInputStream
import java.io.EOFException
import java.io.File
import java.io.FileInputStream
import java.io.FileOutputStream
import java.io.IOException
import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.DigestInputStream
import java.security.DigestOutputStream
import java.security.MessageDigest
import java.util.UUID

/**
 * Named tensors and a few texts in one file that is whole or refused.
 *
 * The layout is that of safetensors (https://github.com/huggingface/safetensors, "Format"):
 *
 *     bytes 0..7     N, the size of the header, as an unsigned 64-bit little-endian integer
 *     bytes 8..N+7   the header, JSON in UTF-8, filled up with spaces so that 8 + N is a multiple of 8:
 *                    {"__metadata__": {name: text, ...},
 *                     name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
 *     then           the data: of each tensor its elements in row-major order, little-endian, at data_offsets
 *                    (begin, end) counted from byte N+8; tensors follow each other without gaps, in the order of
 *                    the header, and the last one ends with the file
 *
 * dtype is one of F16, F32, I64 and U8. The last tensor is "sha256", U8 of 32: the hash over all bytes of the file
 * before it. So a file that is torn or damaged anywhere is refused before anything in it is believed.
 */
internal class TensorFile(val texts: Map<String, String>, val tensors: Map<String, CacheTensor>) {
    /**
     * Replaces [file] by this, or leaves it as it was: a file beside it is written, flushed and renamed.
     *
     * Throws [IOException], and [ConversationException] for an element type that no such file has.
     */
    fun write(file: File) {
        val header = header()
        val folder = file.absoluteFile.parentFile ?: throw IOException("it has no folder")
        val partial = File(folder, "${file.name}.${UUID.randomUUID()}.partial")
        try {
            FileOutputStream(partial).use { out ->
                val digest = MessageDigest.getInstance("SHA-256")
                val hashed = DigestOutputStream(out, digest)
                hashed.write(littleEndian(8).putLong(header.size.toLong()).array())
                hashed.write(header)
                for (tensor in tensors.values) hashed.write(tensor.bytes)
                out.write(digest.digest())
                out.fd.sync()
            }
            if (!partial.renameTo(file)) throw IOException("it cannot be replaced")
        } finally {
            partial.delete()
        }
    }

    private fun header(): ByteArray {
        val entries = LinkedHashMap<String, Any?>()
        entries[METADATA] = texts
        var end = 0L
        for ((name, tensor) in tensors) {
            val dtype =
                NAMES[tensor.dtype] ?: throw ConversationException("A tensor of ${tensor.dtype} cannot be saved.")
            check(name != DIGEST && tensor.bytes.size.toLong() == bytesOf(dtype, tensor.shape)) { "the tensor $name" }
            entries[name] = entry(dtype, tensor.shape, end, tensor.bytes.size)
            end += tensor.bytes.size
        }
        entries[DIGEST] = entry("U8", listOf(DIGEST_BYTES), end, DIGEST_BYTES)
        val encoded = Json.write(entries).encodeToByteArray()
        val padded = encoded.copyOf((encoded.size + 7) / 8 * 8)
        padded.fill(' '.code.toByte(), encoded.size)
        return padded
    }

    private fun entry(dtype: String, shape: List<Int>, begin: Long, bytes: Int): Map<String, Any> =
        mapOf("dtype" to dtype, "shape" to shape, "data_offsets" to listOf(begin, begin + bytes))

    companion object {
        const val MOST_HEADER = 16 shl 20
        private const val DIGEST = "sha256"
        private const val DIGEST_BYTES = 32
        private const val METADATA = "__metadata__"
        private const val MOST_AXES = 8
        private val SIZES = mapOf("F16" to 2, "F32" to 4, "I64" to 8, "U8" to 1)
        private val NAMES = mapOf("float16" to "F16", "float32" to "F32", "int64" to "I64", "uint8" to "U8")
        private val DTYPES = NAMES.entries.associate { (numpy, own) -> own to numpy }

        /**
         * What [write] wrote. [mostData] is the bytes of all tensors; nothing larger is read into memory.
         *
         * Throws [ConversationException] for a file that is not whole.
         */
        fun read(file: File, mostData: Long): TensorFile {
            val size = regularSize(file, Math.addExact(8L + MOST_HEADER + DIGEST_BYTES, mostData))
            try {
                return FileInputStream(file).use { read(file, it, size) }
            } catch (_: EOFException) {
                // it has shrunk since
                throw damaged(file)
            } catch (error: IOException) {
                throw ConversationException("${shortened(file)} cannot be read (${error.message}); check the path.")
            }
        }

        /** In one pass: what the header says is looked at first, and believed only if the hash is right. */
        private fun read(file: File, input: InputStream, size: Long): TensorFile {
            if (size < 8 + DIGEST_BYTES) throw damaged(file)
            val digest = MessageDigest.getInstance("SHA-256")
            val data = DataInputStream(DigestInputStream(input.buffered(1 shl 16), digest))
            var rest = size - DIGEST_BYTES
            var read: TensorFile? = null
            var reason: String? = null
            try {
                val length = littleEndian(data, 8).long
                rest -= 8
                if (length !in
                    0..minOf(MOST_HEADER.toLong(), size - 8)
                ) {
                    throw Misfit("its header ends outside of the file")
                }
                if (length > rest) throw Misfit("it does not end with its hash")
                val header = ByteArray(length.toInt()).also { data.readFully(it) }
                rest -= length
                val (texts, entries) = parse(header, rest + DIGEST_BYTES)
                val tensors = LinkedHashMap<String, CacheTensor>()
                for ((name, entry) in entries) {
                    val bytes = ByteArray(entry.bytes).also { data.readFully(it) }
                    rest -= bytes.size
                    tensors[name] = CacheTensor(DTYPES.getValue(entry.dtype), entry.shape, bytes)
                }
                read = TensorFile(texts, tensors)
            } catch (error: Misfit) {
                reason = error.message
            }
            val skipped = ByteArray(1 shl 16)
            while (rest > 0) {
                val count = data.read(skipped, 0, minOf(rest, skipped.size.toLong()).toInt())
                if (count < 0) throw EOFException()
                rest -= count
            }
            val expected = digest.digest()
            if (!expected.contentEquals(ByteArray(DIGEST_BYTES).also { data.readFully(it) })) throw damaged(file)
            // Written so: nothing was damaged on the way.
            return read ?: throw ConversationException(
                "${shortened(file)} is not laid out as a saved conversation is ($reason).",
            )
        }

        private class Entry(val dtype: String, val shape: List<Int>, val begin: Long, val end: Long) {
            val bytes: Int get() = (end - begin).toInt()
        }

        /** Texts and tensors of a header that is followed by [size] bytes, the hash among them. */
        private fun parse(header: ByteArray, size: Long): Pair<Map<String, String>, Map<String, Entry>> {
            val value =
                try {
                    Json.parse(header.decodeToString(throwOnInvalidSequence = true))
                } catch (error: JsonException) {
                    throw Misfit(error.message ?: "its header is no JSON")
                } catch (_: CharacterCodingException) {
                    throw Misfit("its header is not UTF-8")
                }
            if (value !is Map<*, *>) throw Misfit("its header is no object")
            val entries = LinkedHashMap<String, Entry>()
            val texts = LinkedHashMap<String, String>()
            var end = 0L
            for ((key, each) in value) {
                val name = key as String
                if (name == METADATA) {
                    texts += texts(each)
                    continue
                }
                val entry = entry(each)
                if (entry.begin != end || entry.end > size ||
                    entry.end - entry.begin != bytesOf(entry.dtype, entry.shape)
                ) {
                    throw Misfit("the tensor ${shortened(name)} has other bytes than its shape")
                }
                if (entry.end - entry.begin > Int.MAX_VALUE) throw Misfit("the tensor ${shortened(name)} is too large")
                entries[name] = entry
                end = entry.end
            }
            val last = entries.keys.lastOrNull()
            if (end != size || last != DIGEST || entries.getValue(last).bytes != DIGEST_BYTES) {
                throw Misfit("it does not end with its hash")
            }
            entries.remove(DIGEST)
            return texts to entries
        }

        private fun texts(value: Any?): Map<String, String> {
            if (value !is Map<*, *> || !value.values.all { it is String }) throw Misfit("its metadata are not texts")
            return value.entries.associate { (name, text) -> name as String to text as String }
        }

        private fun entry(value: Any?): Entry {
            if (value !is Map<*, *> || value.keys != setOf("dtype", "shape", "data_offsets")) {
                throw Misfit("a tensor is not described by dtype, shape and data_offsets")
            }
            val dtype = value["dtype"]
            if (dtype !is String || dtype !in SIZES) throw Misfit("a tensor has an unknown dtype")
            val shape = counts(value["shape"], Int.MAX_VALUE.toLong())
            val offsets = counts(value["data_offsets"], 1L shl 48)
            if (shape == null || shape.size > MOST_AXES || offsets?.size != 2) {
                throw Misfit("a tensor's shape or offsets are not whole numbers")
            }
            return Entry(dtype, shape.map { it.toInt() }, offsets[0], offsets[1])
        }

        private fun counts(value: Any?, most: Long): List<Long>? {
            if (value !is List<*>) return null
            return value.map { if (it is Long && it in 0..most) it else return null }
        }

        /** -1 for more than a file can have. */
        private fun bytesOf(dtype: String, shape: List<Int>): Long {
            var bytes = SIZES.getValue(dtype).toLong()
            if (shape.contains(0)) return 0
            for (side in shape) {
                if (bytes > (1L shl 48) / side) return -1
                bytes *= side
            }
            return bytes
        }

        private fun littleEndian(size: Int): ByteBuffer = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN)

        private fun littleEndian(data: DataInputStream, size: Int): ByteBuffer =
            littleEndian(size).also { data.readFully(it.array()) }

        private fun damaged(file: File) =
            ConversationException("${shortened(file)} is damaged or no saved conversation; save it again.")

        /** Bytes of a regular file: pipes and devices are refused, because they may never end. */
        private fun regularSize(file: File, most: Long): Long {
            if (!file.exists()) throw ConversationException("${shortened(file)} does not exist; check the path.")
            if (file.isDirectory) {
                throw ConversationException("${shortened(file)} is a folder; give the path of one file.")
            }
            if (!file.isFile) {
                throw ConversationException(
                    "${shortened(
                        file,
                    )} is something else, not a regular file; copy what it gives into a file and name that.",
                )
            }
            val size = file.length()
            if (size > most) {
                throw ConversationException(
                    "${shortened(file)} has $size bytes, more than the limit of $most; give a smaller file.",
                )
            }
            return size
        }
    }
}

/** Something in a file that no saved conversation has; the message is a clause. */
internal class Misfit(message: String) : Exception(message)

/** At most 120 characters of a path or a name, for messages. */
internal fun shortened(name: Any): String {
    val text = name.toString()
    return if (text.length <= 120) text else "${text.take(117)}..."
}
