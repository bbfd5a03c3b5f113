package dev.pocketvl.bundle

import dev.pocketvl.BundleException
import dev.pocketvl.ManifestException
import dev.pocketvl.json.Json
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.io.TempDir
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.EnumSource
import java.io.File
import java.nio.file.Files
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class BundleTest {
    @TempDir
    lateinit var temporary: File

    private val folder get() = temporary.resolve("bundle")
    private val tokenizer get() = folder.resolve("tokenizer.json")

    @BeforeEach
    fun write() = writeBundle(folder)

    private fun refusal(verify: Verify = Verify.NEVER, at: File = folder): String =
        assertFailsWith<BundleException> { openBundle(at, verify) }.message!!.also { assertTrue(it.endsWith("."), it) }

    @ParameterizedTest
    @EnumSource
    fun `a sound bundle opens`(verify: Verify) {
        val bundle = openBundle(folder, verify)
        assertEquals("onnx", bundle.manifest.target)
        assertEquals(20, bundle.file("tokenizer.json").length())
        assertEquals(folder.resolve("onnx"), bundle.file("onnx"))
        for (path in listOf("other.onnx", "", "on", "config.json", "../bundle/tokenizer.json")) {
            assertContains(assertFailsWith<BundleException> { bundle.file(path) }.message!!, "has no file $path in")
        }
    }

    @Test
    fun `what is no bundle`() {
        assertContains(refusal(at = folder.resolve("nothing")), "does not exist")
        assertContains(refusal(at = tokenizer), "is a file, not a folder")
        val empty = temporary.resolve("empty").also { it.mkdir() }
        val message = assertFailsWith<ManifestException> { openBundle(empty) }.message!!
        assertContains(message, "does not exist; is this folder a bundle")
    }

    @Test
    fun `missing files, folders in their place and wrong sizes`() {
        tokenizer.delete()
        assertContains(refusal(), "tokenizer.json is missing")
        tokenizer.mkdir()
        assertContains(refusal(), "tokenizer.json is missing")
        tokenizer.delete()
        for (size in listOf(0, 19, 21)) {
            tokenizer.writeBytes(ByteArray(size))
            assertContains(refusal(), "tokenizer.json has $size bytes, but the manifest says 20")
        }
    }

    @Test
    fun `links may stay inside the bundle and not leave it`() {
        tokenizer.renameTo(temporary.resolve("elsewhere"))
        link(tokenizer, temporary.resolve("elsewhere"))
        assertContains(refusal(), "tokenizer.json is a link that leaves the bundle")
        tokenizer.delete()
        link(tokenizer, tokenizer)
        assertContains(refusal(), "tokenizer.json")
        tokenizer.delete()
        temporary.resolve("elsewhere").renameTo(folder.resolve("copy"))
        link(tokenizer, folder.resolve("copy"))
        openBundle(folder, Verify.ALWAYS)
        link(temporary.resolve("linked"), folder)
        openBundle(temporary.resolve("linked"), Verify.ALWAYS)
        // A folder whose name only begins like the bundle's is outside.
        temporary.resolve("bundle2").mkdir()
        folder.resolve("copy").renameTo(temporary.resolve("bundle2/copy"))
        tokenizer.delete()
        link(tokenizer, temporary.resolve("bundle2/copy"))
        assertContains(refusal(), "leaves the bundle")
    }

    @Test
    fun `pipes and names that no disk takes`() {
        tokenizer.delete()
        assertEquals(0, ProcessBuilder("mkfifo", tokenizer.path).start().waitFor())
        assertContains(refusal(), "tokenizer.json is no regular file")
        val value = goldenJson("onnx")
        put(value, listOf("files", 0, "path"), "x".repeat(300))
        folder.resolve("manifest.json").writeText(Json.write(value))
        refusal()
    }

    @ParameterizedTest
    @EnumSource(names = ["STAMP", "ALWAYS"])
    fun `one bit of any file is found`(verify: Verify) {
        val bytes = tokenizer.readBytes()
        bytes[7] = 1
        tokenizer.writeBytes(bytes)
        openBundle(folder, Verify.NEVER)
        assertContains(refusal(verify), "tokenizer.json is damaged or from another bundle: it has the sha256 ")
    }

    @Test
    fun `a manifest that was edited is refused unless its hash is written anew`() {
        val manifest = folder.resolve("manifest.json")
        manifest.appendText(" ")
        openBundle(folder, Verify.NEVER)
        assertContains(refusal(Verify.STAMP), "is not what")
        writeManifestHash(folder)
        openBundle(folder)
        val hash = folder.resolve("manifest.sha256")
        for (text in listOf("", hash.readText() + "\n", hash.readText().uppercase(), hash.readText().drop(1))) {
            hash.writeText(text)
            assertContains(refusal(Verify.ALWAYS), "manifest.sha256 was written for")
        }
        hash.delete()
        assertContains(refusal(Verify.STAMP), "manifest.sha256 is missing")
        openBundle(folder, Verify.NEVER)
    }

    @Test
    fun `optional files are looked at only where everything is, and may be missing`() {
        val config = folder.resolve("config.json")
        openBundle(folder, Verify.ALWAYS)
        config.writeBytes(ByteArray(4))
        openBundle(folder, Verify.STAMP)
        assertContains(refusal(Verify.ALWAYS), "config.json has 4 bytes, but the manifest says 5")
        config.writeBytes(ByteArray(5))
        assertContains(refusal(Verify.ALWAYS), "config.json is damaged")
    }

    private fun link(from: File, to: File) {
        Files.createSymbolicLink(from.toPath(), to.toPath())
    }
}
