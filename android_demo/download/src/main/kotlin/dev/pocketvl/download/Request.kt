package dev.pocketvl.download

import dev.pocketvl.BundleException
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.launch
import java.io.IOException
import java.io.InputStream
import java.net.HttpURLConnection
import java.net.URL

/** An answer's bytes from [offset] on. */
internal class Body(val offset: Long, val bytes: InputStream)

/** One GET of [url]. The server may ignore what was asked, so every answer is checked before a byte of it is used. */
internal class Request(private val url: URL, private val readMilliseconds: Int) {
    private val connection = url.openConnection() as HttpURLConnection

    /**
     * What [use] makes of the answer that [open] describes.
     *
     * Cancelling ends a read that waits: on Android at once, on other JVMs, whose disconnect waits for the reader,
     * after [readMilliseconds].
     */
    suspend fun <T> run(offset: Long, size: Long?, use: suspend (Body) -> T): T =
        coroutineScope {
            val watcher =
                launch(start = CoroutineStart.UNDISPATCHED) {
                    try {
                        awaitCancellation()
                    } finally {
                        connection.disconnect()
                    }
                }
            try {
                val body = open(offset, size)
                body.bytes.use { use(body) }
            } catch (error: RuntimeException) {
                ensureActive() // a connection that is ended while its answer begins may fail inside the JDK
                throw error
            } finally {
                watcher.cancel()
            }
        }

    /**
     * The bytes from [offset] on, or from the start where the server cannot begin in between. [size]: of the whole
     * file, where it is known; an answer about another size is refused.
     *
     * Throws [BundleException] for an answer that will be no better the next time, [IOException] for one that may.
     */
    private fun open(offset: Long, size: Long?): Body {
        connection.connectTimeout = CONNECT_MILLISECONDS
        connection.readTimeout = readMilliseconds
        connection.setRequestProperty("Accept-Encoding", "identity") // offsets and sizes are those of the file
        if (offset > 0) connection.setRequestProperty("Range", "bytes=$offset-")
        return when (val status = connection.responseCode) {
            HttpURLConnection.HTTP_OK -> {
                checkSize(header("Content-Length")?.toLongOrNull(), size)
                Body(0, connection.inputStream)
            }

            HttpURLConnection.HTTP_PARTIAL -> {
                checkRange(header("Content-Range"), offset, size)
                Body(offset, connection.inputStream)
            }

            RANGE_NOT_SATISFIABLE -> {
                throw RangeRefusedException("$url does not go on from byte $offset")
            }

            HttpURLConnection.HTTP_NOT_FOUND, HttpURLConnection.HTTP_GONE -> {
                throw BundleException("$url is not there (status $status); is the address that of a bundle's folder?")
            }

            in 500..599, HTTP_TIMEOUT, HTTP_TOO_MANY -> {
                throw IOException("status $status")
            }

            else -> {
                throw BundleException("The server does not give $url (status $status).")
            }
        }
    }

    private fun header(name: String): String? = connection.getHeaderField(name)

    private fun checkRange(range: String?, offset: Long, size: Long?) {
        val found = CONTENT_RANGE.matchEntire(range.orEmpty().trim())
        if (offset == 0L || found == null || found.groupValues[1].toLongOrNull() != offset) {
            throw BundleException(
                "The server answers with bytes '$range' of $url where those from $offset on were wanted.",
            )
        }
        checkSize(found.groupValues[3].toLongOrNull(), size)
    }

    private fun checkSize(told: Long?, size: Long?) {
        if (told != null && size != null && told != size) {
            throw BundleException(
                "$url has $told bytes, but the manifest says $size; the bundle there is damaged or mixed.",
            )
        }
    }

    private companion object {
        const val CONNECT_MILLISECONDS = 15_000
        const val RANGE_NOT_SATISFIABLE = 416
        const val HTTP_TIMEOUT = 408
        const val HTTP_TOO_MANY = 429
        val CONTENT_RANGE = Regex("bytes (\\d+)-(\\d+)/(\\d+|\\*)")
    }
}

/** What is there cannot be continued; the file has to be fetched from its start. */
internal class RangeRefusedException(message: String) : IOException(message)
