package dev.pocketvl.presentation.transfer

import dev.pocketvl.BundleException
import dev.pocketvl.Names
import dev.pocketvl.presentation.platform.Transfer
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.FlowCollector
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.flowOn
import java.io.File
import java.io.IOException
import java.io.InputStream

/** A file of a folder that the user chose: [path] is relative to it, with slashes; [bytes] what its provider says. */
class SourceFile(val path: String, val bytes: Long, val open: () -> InputStream)

/** A folder that the user chose. */
class SourceFolder(val name: String, val files: List<SourceFile>)

/** Copies bundles into [folders], where native runtimes can map their files. [freeBytes]: what can be filled there. */
class FolderCopy(
    private val folders: BundleFolders,
    private val freeBytes: () -> Long,
    private val dispatcher: CoroutineDispatcher = Dispatchers.IO,
) {
    /**
     * Copies what [list] finds. Completes when the whole folder is in place; whatever ends it sooner leaves nothing
     * behind. Throws [BundleException].
     */
    fun copy(list: () -> SourceFolder): Flow<Transfer> =
        flow {
            try {
                val source = list()
                check(source)
                folders.requireSpace(source.files.sumOf { it.bytes }, freeBytes())
                val begun = folders.begin(source.name)
                try {
                    copyFiles(source, begun)
                    currentCoroutineContext().ensureActive()
                    folders.finish(begun, source.name)
                } finally {
                    begun.deleteRecursively() // nothing where it was moved into place
                }
            } catch (error: IOException) {
                throw BundleException(
                    "The folder cannot be copied (${error.message}); is its storage still there?",
                    error,
                )
            }
        }.flowOn(dispatcher)

    private fun check(source: SourceFolder) {
        if (source.files.none { it.path == Names.MANIFEST_FILE }) {
            throw BundleException(
                "The folder ${source.name} has no ${Names.MANIFEST_FILE}; choose the folder that `pocketvl export` wrote.",
            )
        }
        for (file in source.files) {
            val steps = file.path.split('/')
            if (steps.any { it.isEmpty() || it == "." || it == ".." || '\u0000' in it }) {
                throw BundleException(
                    "The folder ${source.name} has a file with the name '${file.path}', which is none.",
                )
            }
        }
    }

    private suspend fun FlowCollector<Transfer>.copyFiles(source: SourceFolder, begun: File) {
        val total = source.files.sumOf { it.bytes }
        val buffer = ByteArray(BUFFER)
        var done = 0L
        emit(Transfer(0, total))
        for (file in source.files) {
            val target = File(begun, file.path)
            target.parentFile?.mkdirs()
            file.open().use { input ->
                target.outputStream().use { output ->
                    while (true) {
                        val size = input.read(buffer)
                        if (size < 0) break
                        output.write(buffer, 0, size)
                        done += size
                        emit(Transfer(done, maxOf(done, total)))
                        currentCoroutineContext().ensureActive()
                    }
                    output.fd.sync() // a name that is there after a crash must not stand for half a file
                }
            }
        }
    }

    private companion object {
        const val BUFFER = 1 shl 20
    }
}
