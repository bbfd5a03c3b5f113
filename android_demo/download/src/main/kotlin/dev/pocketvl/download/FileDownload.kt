package dev.pocketvl.download

import dev.pocketvl.BundleException
import dev.pocketvl.bundle.FileRecord
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.delay
import kotlinx.coroutines.ensureActive
import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.net.URL
import java.security.MessageDigest

/** [readMilliseconds]: for a server that sends nothing. [retryMilliseconds]: before the first of further attempts. */
internal class Patience(val readMilliseconds: Int, val retryMilliseconds: Long)

/**
 * Downloads one file of a bundle to [target].
 *
 * Until the whole bundle is there its name holds the hash, so that what an interrupted download has left is continued
 * only where it belongs to the same bytes, whatever the manifest says by then.
 */
internal class FileDownload(
    private val url: URL,
    private val record: FileRecord,
    private val target: File,
    private val patience: Patience,
) {
    private val part = File("$target.${record.sha256.take(16)}.part")
    private val whole = File("$target.${record.sha256.take(16)}.whole")

    /** The files that hold what is there of this one. */
    val kept: List<File> get() = listOf(part, whole)

    /** Bytes that need not be fetched any more. */
    val present: Long get() = if (whole.isFile) record.size else minOf(part.length(), record.size)

    /**
     * [onBytes] is given how many bytes of the file are there, which is less than before where it starts anew.
     *
     * A broken connection is taken up again, as long as each attempt brings something. Throws [BundleException].
     */
    suspend fun run(onBytes: suspend (Long) -> Unit) {
        if (whole.isFile) return
        target.parentFile?.mkdirs()
        val hadPart = part.length() > 0
        // Bytes of an earlier download may be damaged: then once more, from the start.
        val isRight = fetch(onBytes) || (hadPart && fetch(onBytes))
        if (!isRight) {
            throw BundleException(
                "$url does not have the sha256 that its manifest says; the bundle there is damaged or mixed.",
            )
        }
    }

    /** Gives the file, which is whole, its name. */
    fun settle() = rename(whole, target)

    /** Whether the hash is right; false leaves no part behind. */
    private suspend fun fetch(onBytes: suspend (Long) -> Unit): Boolean {
        var failures = 0
        while (part.length() < record.size || !part.exists()) {
            val before = part.length()
            try {
                attempt(onBytes)
            } catch (error: RangeRefusedException) {
                currentCoroutineContext().ensureActive()
                if (!part.delete()) throw broken(error)
            } catch (error: IOException) {
                currentCoroutineContext().ensureActive() // cancelling ends a read with an exception as well
                failures = if (part.length() > before) 0 else failures + 1
                if (failures == MOST_FAILURES) throw broken(error)
                delay(patience.retryMilliseconds shl failures)
            }
        }
        val isRight = part.length() == record.size && hash(part) == record.sha256
        if (isRight) rename(part, whole) else part.delete()
        return isRight
    }

    private suspend fun attempt(onBytes: suspend (Long) -> Unit) =
        Request(url, patience.readMilliseconds).run(part.length(), record.size) { body ->
            FileOutputStream(part, body.offset > 0).use { output ->
                val buffer = ByteArray(BUFFER)
                var size = body.offset
                while (size < record.size) {
                    val most = minOf(buffer.size.toLong(), record.size - size).toInt()
                    val count = body.bytes.read(buffer, 0, most)
                    if (count < 0) throw IOException("the connection ended after $size of ${record.size} bytes")
                    output.write(buffer, 0, count)
                    size += count
                    onBytes(size)
                    currentCoroutineContext().ensureActive()
                }
                output.fd.sync()
            }
        }

    private fun rename(from: File, to: File) {
        if (!from.renameTo(to)) throw BundleException("$from cannot be renamed to ${to.name}; is the storage full?")
    }

    private fun broken(error: IOException) =
        BundleException(
            "$url cannot be fetched (${error.message ?: error.javaClass.simpleName}); download it again later: that" +
                " goes on where it stopped.",
            error,
        )

    private companion object {
        const val BUFFER = 1 shl 18
        const val MOST_FAILURES = 4
    }
}

private suspend fun hash(file: File): String {
    val digest = MessageDigest.getInstance("SHA-256")
    val buffer = ByteArray(1 shl 18)
    file.inputStream().use { input ->
        while (true) {
            val size = input.read(buffer)
            if (size < 0) break
            digest.update(buffer, 0, size)
            currentCoroutineContext().ensureActive()
        }
    }
    return hex(digest)
}

internal fun sha256(bytes: ByteArray): String = hex(MessageDigest.getInstance("SHA-256").apply { update(bytes) })

private fun hex(digest: MessageDigest): String = digest.digest().joinToString("") { "%02x".format(it) }
