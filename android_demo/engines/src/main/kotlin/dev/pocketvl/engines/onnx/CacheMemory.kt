package dev.pocketvl.engines.onnx

import dev.pocketvl.EngineException
import java.io.Closeable
import java.io.File
import java.io.IOException
import java.io.RandomAccessFile
import java.nio.ByteOrder
import java.nio.FloatBuffer
import java.nio.channels.ClosedByInterruptException
import java.nio.channels.FileChannel

/**
 * [count] buffers of [floats] zeros each, whose pages take memory only once they are written: a KV cache is mostly
 * empty. They are private mappings of a file without contents, to which nothing is ever written. A direct buffer would
 * be zeroed at once, and on Android it counts against the Java heap, which is smaller than the cache of a large
 * context; a mapping does not.
 */
internal class CacheMemory(count: Int, floats: Int) : Closeable {
    private val file: RandomAccessFile
    val buffers: List<FloatBuffer>

    init {
        val bytes = floats.toLong() * Float.SIZE_BYTES
        try {
            val path = File.createTempFile("pocketvl", ".cache")
            file =
                try {
                    RandomAccessFile(path, "rw")
                } finally {
                    path.delete() // an open file stays until it is closed
                }
            buffers =
                closingOnFailure(file) {
                    file.setLength(bytes * count)
                    List(count) { map(it * bytes, bytes) }
                }
        } catch (interrupt: ClosedByInterruptException) {
            throw EngineException("Loading was interrupted; clear the thread's interrupt and ask again.", interrupt)
        } catch (failure: IOException) {
            val folder = System.getProperty("java.io.tmpdir")
            throw EngineException(
                "No memory can be mapped for the KV cache by a file in $folder (${failure.message}).",
                failure,
            )
        }
    }

    /** Frees the memory at once. The buffers must not be touched afterwards: that would end the process. */
    override fun close() {
        file.setLength(0) // takes the pages away, while the addresses stay until the buffers are collected
        file.close()
    }

    private fun map(from: Long, bytes: Long): FloatBuffer =
        file.channel
            .map(FileChannel.MapMode.PRIVATE, from, bytes)
            .order(ByteOrder.nativeOrder())
            .asFloatBuffer()
}
