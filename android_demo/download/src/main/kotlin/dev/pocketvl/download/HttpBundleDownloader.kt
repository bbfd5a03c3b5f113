package dev.pocketvl.download

import dev.pocketvl.BundleException
import dev.pocketvl.Names
import dev.pocketvl.bundle.Manifest
import dev.pocketvl.bundle.Verify
import dev.pocketvl.bundle.openBundle
import dev.pocketvl.bundle.readManifest
import dev.pocketvl.presentation.platform.BundleDownloader
import dev.pocketvl.presentation.platform.Transfer
import dev.pocketvl.presentation.transfer.BundleFolders
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.FlowCollector
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.flowOn
import kotlinx.coroutines.sync.Mutex
import java.io.ByteArrayOutputStream
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.net.URL

/**
 * Downloads bundles from a web server's folder into [folder], of which [folders] are the bundles.
 *
 * The manifest is fetched anew each time and says which files with which hashes belong to the bundle; what is there of
 * them already is not fetched again. [freeBytes]: what can be filled. [cleartext]: whether http addresses are taken.
 */
class HttpBundleDownloader(
    private val folder: File,
    private val folders: BundleFolders,
    private val freeBytes: () -> Long,
    private val dispatcher: CoroutineDispatcher = Dispatchers.IO,
    private val cleartext: Boolean = false,
    readMilliseconds: Int = 20_000,
    retryMilliseconds: Long = 1_000,
) : BundleDownloader {
    private val patience = Patience(readMilliseconds, retryMilliseconds)
    private val running = Mutex()

    override fun download(url: String): Flow<Transfer> =
        flow {
            if (!running.tryLock()) throw BundleException("Another download is running; wait until it ends or stop it.")
            try {
                downloadAll(BundleAddress.parse(url, cleartext))
            } catch (error: IOException) {
                throw BundleException("The bundle cannot be downloaded (${error.message}).", error)
            } finally {
                running.unlock()
            }
        }.flowOn(dispatcher)

    private suspend fun FlowCollector<Transfer>.downloadAll(address: BundleAddress) {
        emit(Transfer(0, null))
        val begun = File(folder, ".download-" + sha256(address.toString().toByteArray()).take(16))
        if (!begun.isDirectory && !begun.mkdirs()) {
            throw BundleException("The folder $begun cannot be made; is the storage full or read-only?")
        }
        val manifest = fetchManifest(address, begun)
        val files =
            manifest.files.map { FileDownload(address.of(it.path), it, File(begun, it.path), patience) }
        removeOthers(begun, files)
        val total = manifest.files.sumOf { it.size }
        var done = files.sumOf { it.present }
        folders.requireSpace(total - done, freeBytes())
        for (file in files) {
            var before = file.present
            file.run { bytes ->
                done += bytes - before
                before = bytes
                emit(Transfer(done, total))
            }
        }
        files.forEach { it.settle() }
        openBundle(begun, Verify.NEVER) // the hashes are those of the manifest; whether it fits together is checked
        folders.finish(begun, address.name)
    }

    /** manifest.json, whose hash must be in manifest.sha256. */
    private suspend fun fetchManifest(address: BundleAddress, begun: File): Manifest {
        val bytes = fetchSmall(address.of(Names.MANIFEST_FILE))
        val recorded = fetchSmall(address.of(Names.MANIFEST_HASH_FILE))
        if (String(recorded) != "${sha256(bytes)}  ${Names.MANIFEST_FILE}\n") {
            throw BundleException(
                "${address.of(
                    Names.MANIFEST_FILE,
                )} is not what ${Names.MANIFEST_HASH_FILE} there was written for; the" +
                    " bundle there is damaged or was edited.",
            )
        }
        val file = File(begun, Names.MANIFEST_FILE)
        file.writeBytes(bytes)
        File(begun, Names.MANIFEST_HASH_FILE).writeBytes(recorded)
        return readManifest(file)
    }

    private suspend fun fetchSmall(url: URL): ByteArray {
        try {
            val bytes = Request(url, patience.readMilliseconds).run(0, null) { readAtMost(it.bytes, MOST_MANIFEST + 1) }
            if (bytes.size > MOST_MANIFEST) throw BundleException("$url is larger than any manifest.")
            return bytes
        } catch (error: IOException) {
            currentCoroutineContext().ensureActive()
            val reason = error.message ?: error.javaClass.simpleName
            throw BundleException("$url cannot be fetched ($reason); is the phone online?", error)
        }
    }

    /** Removes what belongs to an earlier manifest of the same address. */
    private fun removeOthers(begun: File, files: List<FileDownload>) {
        val kept = files.flatMap { it.kept }.toSet()
        val own = setOf(Names.MANIFEST_FILE, Names.MANIFEST_HASH_FILE).map { File(begun, it) }
        val others = begun.walkTopDown().filter { it.isFile && it !in kept && it !in own }.toList()
        others.forEach { it.delete() }
    }

    private fun readAtMost(input: InputStream, most: Int): ByteArray {
        val bytes = ByteArrayOutputStream()
        val buffer = ByteArray(1 shl 16)
        while (bytes.size() < most) {
            val size = input.read(buffer, 0, minOf(buffer.size, most - bytes.size()))
            if (size < 0) break
            bytes.write(buffer, 0, size)
        }
        return bytes.toByteArray()
    }

    private companion object {
        const val MOST_MANIFEST = 16 shl 20
    }
}
