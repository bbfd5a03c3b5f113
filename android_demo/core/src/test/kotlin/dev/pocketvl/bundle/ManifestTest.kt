package dev.pocketvl.bundle

import dev.pocketvl.BundleException
import dev.pocketvl.Golden
import dev.pocketvl.ManifestException
import dev.pocketvl.json.Json
import dev.pocketvl.listOf
import dev.pocketvl.members
import org.junit.jupiter.api.io.TempDir
import java.io.File
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotEquals

class ManifestTest {
    @TempDir
    lateinit var folder: File

    private val file get() = folder.resolve("manifest.json")

    @Test
    fun `every edit of the golden is accepted or refused as Python does`() {
        val golden = Golden.read("manifests")
        for (target in golden["bundles"].members().keys) writeFiles(folder.resolve(target), goldenJson(target))
        val cases = golden["cases"].listOf<Map<String, Any?>>()
        assertEquals(719, cases.size)
        val odd = cases.mapNotNull { case -> difference(case)?.let { "$case: $it" } }
        assertEquals("", odd.joinToString("\n"))
    }

    /** What is said instead, or null. */
    private fun difference(case: Map<String, Any?>): String? {
        val target = case["bundle"] as String
        val value = goldenJson(target)
        val written = ArrayList<String>()
        for (edit in case["edits"].listOf<Map<String, Any?>>()) {
            val path = edit["path"].listOf<Any?>()
            if ("remove" in edit) remove(value, path) else put(value, path, if ("raw" in edit) "<raw>" else edit["set"])
            (edit["raw"] as String?)?.let(written::add)
        }
        val text = written.fold(Json.write(value)) { text, raw -> text.replace("\"<raw>\"", raw) }
        folder.resolve(target).resolve("manifest.json").writeText(text)
        val expected = case["refused"] as String?
        val said =
            try {
                openBundle(folder.resolve(target), Verify.NEVER)
                null
            } catch (error: BundleException) {
                error.message!!
            }
        val isRight = if (expected == null || said == null) expected == said else expected in said && said.endsWith(".")
        return if (isRight) null else said ?: "opens"
    }

    @Test
    fun `what is read is what was written`() {
        val manifest = goldenManifest("executorch")
        assertEquals(listOf(1, 1, 0), manifest.geometry.text.mropeSection)
        assertEquals(1.0, manifest.image.std[2])
        assertEquals(listOf(null, 4, 16), listOf(null) + manifest.entries("vision_encoder").map { it.patches })
        assertEquals(Dimension.Dynamic("tokens"), manifest.entries("text_decoder")[0].inputs[0].shape[1])
        assertEquals(144, manifest.tokenEmbedding.end)
        assertEquals(mapOf("torch" to "2.9"), manifest.provenance.tools)
        assertEquals(null, manifest.provenance.sourceRevision)
        assertEquals(manifest, goldenManifest("executorch"))
    }

    @Test
    fun `the contents' hash is over files by path whatever their order`() {
        val manifest = goldenManifest("onnx")
        val text = manifest.files.sortedBy { it.path }.joinToString("") { "${it.sha256}  ${it.path}\n" }
        assertEquals(hex(sha256().digest(text.toByteArray())), manifest.contentSha256)
        assertEquals(manifest.contentSha256, manifest.copy(files = manifest.files.reversed()).contentSha256)
        val more = manifest.files + manifest.optionalFiles
        assertNotEquals(manifest.contentSha256, manifest.copy(files = more, optionalFiles = emptyList()).contentSha256)
    }

    @Test
    fun `paths are ordered by characters and not by UTF-16 units`() {
        val paths = listOf("a", "a/", "aa", "b", "\uffff", "\ud800\udc00", "\ud800\udc01", "\ud801\udc00")
        assertEquals(paths, paths.shuffled().sortedWith(::comparePaths))
    }

    @Test
    fun `files that are no manifest`() {
        val bytes =
            listOf(
                "",
                "{",
                "[1]",
                "3",
                "null",
                "[".repeat(200_000),
                "9".repeat(5000),
                "\ufeff{}",
            ).map { it.toByteArray() }
        for (one in bytes + byteArrayOf(-1, -2) + byteArrayOf('"'.code.toByte(), -64, -128, '"'.code.toByte())) {
            file.writeBytes(one)
            assertContains(assertFailsWith<ManifestException> { readManifest(file) }.message!!, "manifest.json")
        }
    }

    @Test
    fun `a manifest of gigabytes is not read`() {
        java.io.RandomAccessFile(file, "rw").use { it.setLength(1L shl 36) }
        assertContains(assertFailsWith<ManifestException> { readManifest(file) }.message!!, "has 68719476736 bytes")
    }

    @Test
    fun `a device is no manifest`() {
        java.nio.file.Files
            .createSymbolicLink(
                file.toPath(),
                java.nio.file.Path
                    .of("/dev/zero"),
            )
        assertContains(assertFailsWith<ManifestException> { readManifest(file) }.message!!, "leaves the bundle")
    }

    @Test
    fun `a bundle for Core ML is refused for its target`() {
        val value = goldenJson("onnx")
        put(value, listOf("target"), "coreml")
        writeFiles(folder, value)
        val message = assertFailsWith<BundleException> { openBundle(folder, Verify.NEVER) }.message!!
        assertContains(
            message,
            "is for Core ML, which runs on Apple's devices alone; export it for executorch or onnx.",
        )
    }
}
