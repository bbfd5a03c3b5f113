package dev.pocketvl.presentation.transfer

import dev.pocketvl.BundleException
import dev.pocketvl.presentation.platform.BundlePlace
import dev.pocketvl.presentation.platform.InstalledBundle
import dev.pocketvl.presentation.platform.Transfer
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.io.TempDir
import java.io.ByteArrayInputStream
import java.io.File
import java.io.IOException
import java.io.InputStream
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertTrue

class FolderCopyTest {
    @field:TempDir
    lateinit var root: File

    private val folders by lazy { BundleFolders(root, BundlePlace.APP) }
    private val weights = ByteArray(3_000_000) { it.toByte() }

    @Test
    fun `a folder is copied whole, with its progress`() {
        val progress = copy(source("tiny", "manifest.json" to ByteArray(10), "onnx/weights" to weights))
        assertEquals(Transfer(0, 3_000_010), progress.first())
        assertEquals(Transfer(3_000_010, 3_000_010), progress.last())
        assertEquals(progress.sortedBy { it.done }, progress)
        assertEquals(listOf(InstalledBundle(File(root, "tiny"), BundlePlace.APP, 3_000_010)), folders.list())
        assertContentEquals(weights, File(root, "tiny/onnx/weights").readBytes())
        assertEquals(listOf("tiny"), root.list()!!.toList())
    }

    @Test
    fun `a second copy gets a name of its own`() {
        repeat(3) { copy(source("my bundle/é", "manifest.json" to ByteArray(1))) }
        assertEquals(listOf("my-bundle-é", "my-bundle-é-2", "my-bundle-é-3"), folders.list().map { it.name })
        copy(source("..", "manifest.json" to ByteArray(1)))
        assertTrue(File(root, "bundle/manifest.json").isFile)
    }

    @Test
    fun `a cancelled copy leaves nothing`() {
        val slow =
            object : InputStream() {
                override fun read(): Int = 1

                override fun read(into: ByteArray, from: Int, length: Int): Int = 1
            }
        val endless = SourceFile("weights", 1_000) { slow }
        val source = SourceFolder("tiny", source("tiny", "manifest.json" to ByteArray(10)).files + endless)
        runBlocking { FolderCopy(folders, { Long.MAX_VALUE }).copy { source }.take(3).toList() }
        assertEquals(emptyList(), root.list()!!.toList())
    }

    @Test
    fun `a storage that breaks leaves nothing and says so`() {
        val broken = SourceFile("weights", 5) { throw IOException("card removed") }
        val whole = source("tiny", "manifest.json" to ByteArray(10)).files
        val error = assertFailsWith<BundleException> { copy(SourceFolder("tiny", whole + broken)) }
        assertContains(error.message!!, "card removed")
        assertEquals(emptyList(), root.list()!!.toList())
    }

    @Test
    fun `a folder without a manifest is refused`() {
        val error = assertFailsWith<BundleException> { copy(source("photos", "a.jpg" to ByteArray(3))) }
        assertContains(error.message!!, "The folder photos has no manifest.json")
    }

    @Test
    fun `a name that leads out of the folder is refused`() {
        for (path in listOf("../evil", "a//b", "a/./b", "/etc/passwd", "a/..", "")) {
            val folder = source("tiny", "manifest.json" to ByteArray(1), path to ByteArray(1))
            assertFailsWith<BundleException>(path) { copy(folder) }
        }
        assertEquals(emptyList(), root.list()!!.toList())
    }

    @Test
    fun `space is checked before a byte is read`() {
        var opened = false
        val files =
            listOf(
                SourceFile("manifest.json", 1_000_000_000) {
                    ByteArrayInputStream(ByteArray(0)).also {
                        opened =
                            true
                    }
                },
            )
        val error = assertFailsWith<BundleException> { copy(SourceFolder("tiny", files), free = 1_000_000_000) }
        assertContains(error.message!!, "needs 1068 MB of free storage, but there are 1000 MB")
        assertFalse(opened)
    }

    @Test
    fun `leftovers go, downloads and bundles stay`() {
        copy(source("tiny", "manifest.json" to ByteArray(1)))
        for (name in listOf(".copying-x", ".deleting-y", ".download-z")) File(root, name).mkdirs()
        folders.removeLeftovers()
        assertEquals(listOf(".download-z", "tiny"), root.list()!!.sorted())
    }

    @Test
    fun `a bundle is deleted, and nothing else`() {
        copy(source("tiny", "manifest.json" to ByteArray(1)))
        File(root, "photos").mkdirs()
        assertFailsWith<BundleException> { folders.delete(File(root, "photos")) }
        assertFailsWith<BundleException> { folders.delete(File(root, "photos/../tiny/..")) }
        assertFailsWith<BundleException> { folders.delete(root) }
        folders.delete(File(root, "tiny"))
        assertEquals(listOf("photos"), root.list()!!.toList())
    }

    private fun source(name: String, vararg files: Pair<String, ByteArray>) =
        SourceFolder(
            name,
            files.map { (path, bytes) ->
                SourceFile(path, bytes.size.toLong()) { bytes.inputStream() as InputStream }
            },
        )

    private fun copy(source: SourceFolder, free: Long = Long.MAX_VALUE): List<Transfer> =
        runBlocking { FolderCopy(folders, { free }).copy { source }.toList() }
}
