package dev.pocketvl.bundle

import dev.pocketvl.BundleException
import dev.pocketvl.json.Json
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.io.TempDir
import java.io.File
import java.io.RandomAccessFile
import kotlin.concurrent.thread
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

@Timeout(60)
class VerificationTest {
    @TempDir
    lateinit var temporary: File

    private val folder get() = temporary.resolve("bundle")
    private val stamps get() = temporary.resolve("stamps/bundle.json")

    @BeforeEach
    fun write() {
        writeBundle(folder)
        age()
    }

    /** As if the bundle had been there for an hour. */
    private fun age() {
        folder.walk().filter { it.isFile }.forEach { it.setLastModified(HOUR_AGO) }
    }

    /** Bytes that an opening hashes. */
    private fun hashed(verify: Verify = Verify.STAMP, stamps: File? = this.stamps): Long {
        var most = 0L
        openBundle(folder, verify, stamps) { bytesHashed, _ -> most = maxOf(most, bytesHashed) }
        return most
    }

    @Test
    fun `files are hashed once and again after a change`() {
        assertEquals(303, hashed())
        assertEquals(0, hashed())
        assertEquals(303, hashed(Verify.ALWAYS))
        assertEquals(0, hashed())
        folder.resolve("tokenizer.json").setLastModified(HOUR_AGO + 5000)
        assertEquals(20, hashed())
        assertEquals(0, hashed())
        assertEquals(303, hashed(stamps = null))
        assertEquals(listOf("bundle.json"), stamps.parentFile.list()!!.toList())
    }

    @Test
    fun `a change of a known file is found`() {
        hashed()
        val file = folder.resolve("tokenizer.json")
        file.writeBytes(ByteArray(20) { 1 })
        file.setLastModified(HOUR_AGO + 1000)
        assertFailsWith<BundleException> { openBundle(folder, Verify.STAMP, stamps) }
    }

    @Test
    fun `another manifest's hash is compared anew`() {
        hashed()
        writeFiles(folder, goldenJson("onnx"))
        writeManifestHash(folder)
        age()
        val message = assertFailsWith<BundleException> { openBundle(folder, Verify.STAMP, stamps) }.message!!
        assertContains(message, "but the manifest says")
    }

    @Test
    fun `a file that was written just now is not remembered`() {
        folder.resolve("tokenizer.json").setLastModified(System.currentTimeMillis())
        assertEquals(303, hashed())
        assertEquals(20, hashed())
    }

    @Test
    fun `stamps of another bundle do not count`() {
        hashed()
        val other = temporary.resolve("other")
        folder.copyRecursively(other)
        other.walk().filter { it.isFile }.forEach { it.setLastModified(HOUR_AGO) }
        other.resolve("tokenizer.json").writeBytes(ByteArray(20) { 1 })
        other.resolve("tokenizer.json").setLastModified(HOUR_AGO)
        assertFailsWith<BundleException> { openBundle(other, Verify.STAMP, stamps) }
    }

    @Test
    fun `stamps that are no stamps cost the hashing again and nothing else`() {
        val path = folder.canonicalPath
        val odd =
            listOf(
                "",
                "[]",
                "{",
                "{}",
                "{\"folder\": \"$path\"}",
                "{\"folder\": \"$path\", \"files\": []}",
                "\u0000",
                "{\"folder\": \"$path\", \"files\": {\"tokenizer.json\": [1, 2]}}",
                "{\"folder\": \"$path\", \"files\": {\"tokenizer.json\": [1, \"2\", 3]}}",
                "x".repeat(2_000_000),
            )
        for (text in odd) {
            stamps.parentFile.mkdirs()
            stamps.writeText(text)
            assertEquals(303, hashed(), text.take(100))
            assertEquals(0, hashed())
        }
        stamps.delete()
        stamps.mkdirs()
        assertEquals(303, hashed())
        val blocked = temporary.resolve("file").also { it.writeText("x") }
        assertEquals(303, hashed(stamps = blocked.resolve("stamps.json")))
    }

    @Test
    fun `progress goes up to all bytes in this thread`() {
        enlarge(64L shl 20)
        val seen = ArrayList<Long>()
        openBundle(folder, Verify.STAMP, null) { bytesHashed, bytes ->
            assertEquals("main", if (Thread.currentThread() === tester) "main" else "other")
            assertTrue(bytesHashed <= bytes)
            seen.add(bytesHashed)
        }
        assertEquals(seen.sorted(), seen)
        assertEquals((64L shl 20) + 283, seen.last())
    }

    private val tester = Thread.currentThread()

    @Test
    fun `what the callback throws ends the hashing`() {
        enlarge(1L shl 33) // takes many seconds
        val began = System.nanoTime()
        val thrown =
            assertFailsWith<IllegalStateException> {
                openBundle(folder, Verify.STAMP, stamps) { bytesHashed, _ -> check(bytesHashed == 0L) { "cancelled" } }
            }
        assertEquals("cancelled", thrown.message)
        assertTrue((System.nanoTime() - began) / 1e9 < 5)
        assertFalse(stamps.exists())
    }

    @Test
    fun `an interrupt ends the hashing`() {
        enlarge(1L shl 33)
        var thrown: Throwable? = null
        val opener = thread { thrown = runCatching { openBundle(folder, Verify.STAMP, null) }.exceptionOrNull() }
        Thread.sleep(200)
        opener.interrupt()
        opener.join(5000)
        assertTrue(thrown is InterruptedException, "$thrown")
    }

    /** Makes the tokenizer a file of that size, all holes, with the right hash where that is computed soon. */
    private fun enlarge(size: Long) {
        RandomAccessFile(folder.resolve("tokenizer.json"), "rw").use { it.setLength(size) }
        val value = goldenJson("onnx")
        for (index in 0 until 5) {
            val record = goldenManifest("onnx").files[index]
            val path = listOf("files", index, "sha256")
            if (record.path != "tokenizer.json") {
                put(value, path, hex(sha256().digest(ByteArray(record.size.toInt()))))
            } else {
                put(value, listOf("files", index, "size"), size)
                if (size < 1L shl 28) put(value, path, hex(sha256().digest(ByteArray(size.toInt()))))
            }
        }
        folder.resolve("manifest.json").writeText(Json.write(value))
        writeManifestHash(folder)
    }

    private companion object {
        val HOUR_AGO = System.currentTimeMillis() / 1000 * 1000 - 3_600_000
    }
}
