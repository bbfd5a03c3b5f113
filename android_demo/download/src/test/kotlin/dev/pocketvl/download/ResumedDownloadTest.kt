package dev.pocketvl.download

import dev.pocketvl.BundleException
import dev.pocketvl.bundle.Verify
import dev.pocketvl.bundle.openBundle
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import java.io.File
import java.util.concurrent.CountDownLatch
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

/** Downloads that were cut off, and what servers answer when they are asked for the rest. */
class ResumedDownloadTest : DownloadTest() {
    @Test
    fun `a broken connection is taken up where it ended`() {
        breakOnce()
        val progress = download()
        assertEquals(progress.sortedBy { it.done }, progress)
        assertEquals(listOf("$WEIGHTS 0", "$WEIGHTS $HALF"), server.requests.filter { it.startsWith(WEIGHTS) })
        openBundle(File(root, "tiny-one"), Verify.ALWAYS)
    }

    @Test
    fun `a later download goes on where the first one stopped`() {
        stopAtHalf()
        val error = assertFailsWith<BundleException> { download() }
        assertContains(error.message!!, "goes on where it stopped")
        assertEquals(emptyList(), folders().list())
        server.instead = { _, _, _ -> false }
        server.requests.clear()
        download()
        assertContains(server.requests, "$WEIGHTS $HALF")
        assertFalse(server.requests.any { it.startsWith("chat_template") }, "whole files are not fetched again")
        openBundle(File(root, "tiny-one"), Verify.ALWAYS)
    }

    @Test
    fun `a server without ranges is asked for the whole file`() {
        var broken = false
        server.instead = { path, _, exchange ->
            (path == WEIGHTS).also {
                if (it) server.send(exchange, 200, weights, 0, null, if (broken) weights.size else HALF)
                if (it) broken = true
            }
        }
        download()
        openBundle(File(root, "tiny-one"), Verify.ALWAYS)
    }

    @Test
    fun `a range other than the one that was asked for is refused`() {
        for (range in listOf("bytes 0-9/10", "bytes 1499999-2948095/2948096", "items 1-2/3", null)) {
            root.deleteRecursively()
            root.mkdirs()
            server.instead = { path, offset, exchange ->
                (path == WEIGHTS).also {
                    if (it && offset == 0L) server.send(exchange, 200, weights, 0, null, HALF)
                    if (it && offset > 0) server.send(exchange, 206, weights, offset.toInt(), range)
                }
            }
            val error = assertFailsWith<BundleException>("$range") { download() }
            assertContains(error.message!!, "from $HALF on were wanted")
        }
    }

    @Test
    fun `a range of another total is refused`() {
        server.instead = { path, offset, exchange ->
            (path == WEIGHTS).also {
                if (it && offset == 0L) server.send(exchange, 200, weights, 0, null, HALF)
                if (it && offset > 0) server.send(exchange, 206, weights, HALF, "bytes $HALF-2948096/2948097")
            }
        }
        assertContains(assertFailsWith<BundleException> { download() }.message!!, "has 2948097 bytes")
    }

    @Test
    fun `a damaged part of an earlier download is fetched anew`() {
        stopAtHalf()
        assertFailsWith<BundleException> { download() }
        server.instead = { _, _, _ -> false }
        val part = root.walkTopDown().single { it.name.endsWith(".part") }
        part.writeBytes(part.readBytes().also { it[7]++ })
        server.requests.clear()
        download()
        assertEquals(listOf("$WEIGHTS $HALF", "$WEIGHTS 0"), server.requests.filter { it.startsWith(WEIGHTS) })
        openBundle(File(root, "tiny-one"), Verify.ALWAYS)
    }

    @Test
    fun `a bundle that was replaced on the server is not mixed with the one before`() {
        server.instead = { path, _, exchange ->
            (path == WEIGHTS).also { if (it) exchange.sendResponseHeaders(403, -1) }
        }
        assertContains(assertFailsWith<BundleException> { download() }.message!!, "status 403")
        server.instead = { _, _, _ -> false }
        server.fill(2)
        download()
        openBundle(File(root, "tiny-one"), Verify.ALWAYS)
        assertEquals(listOf("tiny-one"), root.list()!!.toList())
    }

    @Test
    fun `cancelling ends a read that waits, and what came is kept`() {
        val waiting = CountDownLatch(1)
        val end = CountDownLatch(1)
        server.instead = { path, _, exchange ->
            (path == WEIGHTS).also {
                if (it) {
                    server.send(exchange, 200, weights, 0, null, HALF)
                    waiting.countDown()
                    end.await()
                }
            }
        }
        runBlocking {
            withTimeout(20_000) {
                val job = launch { downloader().download(server.url).collect {} }
                launch(Dispatchers.IO) { waiting.await() }.join()
                while (root.walkTopDown().none { it.name.endsWith(".part") && it.length() > 0 }) delay(5)
                job.cancelAndJoin()
            }
        }
        end.countDown()
        assertTrue(root.walkTopDown().single { it.name.endsWith(".part") }.length() in 1..HALF)
        assertEquals(emptyList(), folders().list())
    }

    private fun stopAtHalf() {
        server.instead = { path, offset, exchange ->
            (path == WEIGHTS).also {
                if (it) {
                    server.send(
                        exchange,
                        status(offset),
                        weights,
                        offset.toInt(),
                        range(offset),
                        maxOf(HALF, offset.toInt()),
                    )
                }
            }
        }
    }

    private fun status(offset: Long) = if (offset > 0) 206 else 200

    private fun range(offset: Long) = "bytes $offset-${weights.size - 1}/${weights.size}".takeIf { offset > 0 }

    private fun breakOnce() {
        var broken = false
        server.instead = { path, _, exchange ->
            val now = path == WEIGHTS && !broken
            if (now) server.send(exchange, 200, weights, 0, null, HALF)
            broken = broken || now
            now
        }
    }
}
