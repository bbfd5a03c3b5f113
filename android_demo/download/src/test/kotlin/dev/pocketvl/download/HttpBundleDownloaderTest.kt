package dev.pocketvl.download

import dev.pocketvl.BundleException
import dev.pocketvl.bundle.Verify
import dev.pocketvl.bundle.openBundle
import dev.pocketvl.presentation.platform.Transfer
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import java.io.File
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

/** Downloads that go well; [ResumedDownloadTest] and [RefusedDownloadTest] have the others. */
class HttpBundleDownloaderTest : DownloadTest() {
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
}
