package dev.pocketvl.download

import dev.pocketvl.BundleException
import dev.pocketvl.ManifestException
import dev.pocketvl.bundle.Verify
import dev.pocketvl.bundle.openBundle
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import java.io.File
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse

/** Bundles, addresses and storage that a download ends at, with a sentence that says why. */
class RefusedDownloadTest : DownloadTest() {
    @Test
    fun `a file of another size than the manifest's is refused before it is fetched`() {
        server.files[WEIGHTS] = ByteArray(100)
        val error = assertFailsWith<BundleException> { download() }
        assertContains(error.message!!, "has 100 bytes, but the manifest says 2948096")
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
}
