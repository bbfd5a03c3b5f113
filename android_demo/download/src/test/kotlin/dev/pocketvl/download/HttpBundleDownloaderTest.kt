package dev.pocketvl.download

import dev.pocketvl.BundleException
import dev.pocketvl.ManifestException
import dev.pocketvl.bundle.Verify
import dev.pocketvl.bundle.openBundle
import dev.pocketvl.presentation.platform.BundlePlace
import dev.pocketvl.presentation.platform.Transfer
import dev.pocketvl.presentation.transfer.BundleFolders
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.io.TempDir
import java.io.File
import java.util.concurrent.CountDownLatch
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

private const val WEIGHTS = "onnx/vision_encoder_int8.onnx_data"
private const val HALF = 1_500_000

class HttpBundleDownloaderTest {
    @field:TempDir
    lateinit var root: File

    private val server = BundleServer()
    private val weights get() = server.files.getValue(WEIGHTS)

    @AfterEach
    fun stop() = server.close()

    @Test
    fun `a bundle is downloaded, checked and put into place`() {
        val progress = download()
        val total = progress.last().total!!
        assertEquals(Transfer(0, null), progress.first())
        assertEquals(Transfer(total, total), progress.last())
        assertEquals(progress.sortedBy { it.done }, progress)
        assertEquals(listOf("tiny-one"), root.list()!!.toList())
        openBundle(File(root, "tiny-one"), Verify.ALWAYS)
        assertEquals(server.files.size, server.requests.size)
    }

    @Test
    fun `the address may end with a slash or with the manifest`() {
        download(server.url + "/")
        download(server.url + "/manifest.json")
        assertEquals(listOf("tiny-one", "tiny-one-2"), root.list()!!.sorted())
    }

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
    fun `a file of another size than the manifest's is refused before it is fetched`() {
        server.files[WEIGHTS] = ByteArray(100)
        val error = assertFailsWith<BundleException> { download() }
        assertContains(error.message!!, "has 100 bytes, but the manifest says 2948096")
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
    fun `damaged bytes are refused and not kept`() {
        weights[5]++
        val error = assertFailsWith<BundleException> { download() }
        assertContains(error.message!!, "does not have the sha256 that its manifest says")
        assertEquals(1, server.requests.count { it.startsWith(WEIGHTS) })
        weights[5]--
        download()
        openBundle(File(root, "tiny-one"), Verify.ALWAYS)
    }

    @Test
    fun `a damaged part of an earlier download is fetched anew`() {
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
    fun `a manifest that its hash was not written for is refused`() {
        server.files["manifest.sha256"] = ByteArray(80)
        assertContains(assertFailsWith<BundleException> { download() }.message!!, "damaged or was edited")
        server.putManifest("{}")
        assertFailsWith<ManifestException> { download() }
    }

    @Test
    fun `a path that leads out of the folder is refused`() {
        server.putManifest(
            String(server.files.getValue("manifest.json")).replace("\"tokenizer.json\"", "\"../tokenizer.json\""),
        )
        assertFailsWith<BundleException> { download() }
        assertFalse(File(root.parentFile, "tokenizer.json").exists())
    }

    @Test
    fun `space is checked before the large files are fetched`() {
        val error = assertFailsWith<BundleException> { download(free = 1_000_000) }
        assertContains(error.message!!, "of free storage, but there are 1 MB")
        assertEquals(2, server.requests.size)
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

    @Test
    fun `two downloads do not run at once`() {
        val downloader = downloader()
        runBlocking {
            val error =
                assertFailsWith<BundleException> {
                    downloader.download(server.url).collect { downloader.download(server.url).first() }
                }
            assertContains(error.message!!, "Another download is running")
        }
        runBlocking { downloader.download(server.url).toList() }
    }

    @Test
    fun `a server that is not there, or that lacks the bundle, is named`() {
        assertContains(
            assertFailsWith<BundleException> {
                download(server.url + "/no")
            }.message!!,
            "/no/manifest.json is not there",
        )
        server.close()
        assertContains(assertFailsWith<BundleException> { download() }.message!!, "is the phone online?")
    }

    @Test
    fun `what is no address of a folder is refused`() {
        for (text in listOf(
            "",
            "tiny",
            "ftp://x/y",
            "file:///etc",
            "https://",
            "https://u:p@x/y",
            "https://x/y?z=1",
            "https://x/y#z",
            "a b",
        )) {
            assertFailsWith<BundleException>(text) { download(text) }
        }
        val strict = HttpBundleDownloader(root, folders(), { Long.MAX_VALUE })
        val error = assertFailsWith<BundleException> { runBlocking { strict.download(server.url).toList() } }
        assertContains(error.message!!, "use https")
        assertEquals(emptyList(), server.requests)
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

    private fun folders() = BundleFolders(root, BundlePlace.APP)

    private fun downloader(free: Long = Long.MAX_VALUE) =
        HttpBundleDownloader(
            root,
            folders(),
            { free },
            cleartext = true,
            readMilliseconds = 2_000,
            retryMilliseconds = 1,
        )

    private fun download(url: String = server.url, free: Long = Long.MAX_VALUE): List<Transfer> =
        runBlocking { downloader(free).download(url).toList() }
}
