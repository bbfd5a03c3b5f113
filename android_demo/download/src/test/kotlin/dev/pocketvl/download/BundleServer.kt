package dev.pocketvl.download

import com.sun.net.httpserver.HttpExchange
import com.sun.net.httpserver.HttpServer
import dev.pocketvl.json.Json
import java.io.Closeable
import java.net.InetAddress
import java.net.InetSocketAddress
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.Executors
import kotlin.random.Random

/** A web server on this machine with a bundle in the folder /bundles/tiny%20one, which may misbehave. */
class BundleServer : Closeable {
    /** By path: of a real manifest's files, in their sizes, with bytes that mean nothing. */
    val files = HashMap<String, ByteArray>()

    /** "path offset" of each request, in order. */
    val requests = CopyOnWriteArrayList<String>()

    /** Asked before the usual answer; true where it has answered. */
    var instead: (path: String, offset: Long, exchange: HttpExchange) -> Boolean = { _, _, _ -> false }

    private val threads = Executors.newCachedThreadPool()
    private val server =
        HttpServer.create(InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0).apply {
            executor = threads
            createContext("/bundles/tiny one/") { exchange -> exchange.use { answer(it) } }
            start()
        }

    val url = "http://127.0.0.1:${server.address.port}/bundles/tiny%20one"

    init {
        fill(1)
    }

    /** Another bundle's bytes and hashes under the same names. */
    fun fill(seed: Int) {
        var manifest = BundleServer::class.java.getResource("/manifest.json")!!.readText()
        val random = Random(seed)
        for (record in (Json.parse(manifest) as Map<*, *>)["files"] as List<*>) {
            val (path, size, hash) = listOf("path", "size", "sha256").map { (record as Map<*, *>)[it].toString() }
            val bytes = random.nextBytes(size.toInt())
            files[path] = bytes
            manifest = manifest.replace(hash, sha256(bytes))
        }
        putManifest(manifest)
    }

    fun putManifest(text: String) {
        files["manifest.json"] = text.toByteArray()
        files["manifest.sha256"] = "${sha256(text.toByteArray())}  manifest.json\n".toByteArray()
    }

    override fun close() {
        server.stop(0)
        threads.shutdownNow()
    }

    private fun answer(exchange: HttpExchange) {
        val path = exchange.requestURI.path.removePrefix("/bundles/tiny one/")
        val range = exchange.requestHeaders.getFirst("Range")
        val offset = range?.removePrefix("bytes=")?.removeSuffix("-")?.toLong() ?: 0
        requests += "$path $offset"
        if (instead(path, offset, exchange)) return
        val bytes = files[path]
        if (bytes == null) {
            exchange.sendResponseHeaders(404, -1)
        } else if (offset > 0) {
            send(exchange, 206, bytes, offset.toInt(), "bytes $offset-${bytes.size - 1}/${bytes.size}")
        } else {
            send(exchange, 200, bytes, 0, null)
        }
    }

    fun send(
        exchange: HttpExchange,
        status: Int,
        bytes: ByteArray,
        from: Int,
        range: String?,
        until: Int = bytes.size,
    ) {
        range?.let { exchange.responseHeaders.set("Content-Range", it) }
        exchange.sendResponseHeaders(status, (bytes.size - from).toLong())
        exchange.responseBody.write(bytes, from, until - from)
        exchange.responseBody.flush()
    }

    private inline fun HttpExchange.use(block: (HttpExchange) -> Unit) =
        try {
            block(this)
        } finally {
            close()
        }
}
