package dev.pocketvl.engines

import dev.pocketvl.PocketVLException
import dev.pocketvl.bundle.Bundle
import dev.pocketvl.bundle.Verify
import dev.pocketvl.bundle.openBundle
import org.junit.jupiter.api.io.TempDir
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.ValueSource
import java.io.File
import java.io.RandomAccessFile
import kotlin.test.assertContains
import kotlin.test.assertContentEquals
import kotlin.test.assertFailsWith

/** Files that nobody hashed: what the native runtimes refuse comes as a typed error, and leaves nothing behind. */
class DamagedFilesTest {
    @TempDir
    lateinit var scratch: File

    @ParameterizedTest
    @ValueSource(strings = ["onnx-int4", "executorch-int4"])
    fun `a file of zeros or of text is a typed error, and the whole one loads afterwards`(name: String) {
        val copy = File(scratch, name)
        EngineCases.folder(name).copyRecursively(copy)
        val bundle = openBundle(copy, Verify.NEVER)
        val engine = Engines.forTarget(bundle, 1)
        for (entry in bundle.manifest.entryPoints) {
            val file = bundle.file(entry.file)
            val whole = file.readBytes()
            for (content in listOf(ByteArray(whole.size), "x".repeat(whole.size).toByteArray())) {
                file.overwrite(content)
                val failure = assertFailsWith<PocketVLException>("${entry.file}") { engine.all(bundle) }
                assertContains(failure.message!!, file.name)
                engine.close()
            }
            file.overwrite(whole)
        }
        val expected = Engines.forTarget(EngineCases.bundle(name), 1)
        assertContentEquals(expected.all(EngineCases.bundle(name)), engine.all(bundle))
        expected.close()
        engine.close()
    }

    @ParameterizedTest
    @ValueSource(strings = ["onnx-int4", "executorch-int4"])
    fun `a graph of another bundle is refused by its signature`(name: String) {
        val copy = File(scratch, name)
        EngineCases.folder(name).copyRecursively(copy)
        val bundle = openBundle(copy, Verify.NEVER)
        val entries = bundle.manifest.entryPoints
        val vision = bundle.file(entries.first().file)
        bundle.file(entries.last().file).copyTo(vision, overwrite = true)
        val engine = Engines.forTarget(bundle, 1)
        val failure = assertFailsWith<PocketVLException> { engine.see(bundle, 16) }
        assertContains(failure.message!!, if (name.startsWith("onnx")) "unknown to this" else "lacks the method")
        engine.close()
    }

    private fun dev.pocketvl.Engine.all(bundle: Bundle): FloatArray =
        see(bundle, 16).values + head(bundle, step(bundle, 2, 0)).values

    private fun File.overwrite(content: ByteArray) = RandomAccessFile(this, "rw").use { it.write(content) }
}
