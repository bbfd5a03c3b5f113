package dev.pocketvl.app.platform

import android.content.ContentResolver
import android.net.Uri
import android.provider.DocumentsContract
import android.provider.DocumentsContract.Document
import dev.pocketvl.BundleException
import dev.pocketvl.presentation.transfer.SourceFile
import dev.pocketvl.presentation.transfer.SourceFolder
import java.io.FileNotFoundException
import java.io.IOException

/** A folder that the user chose by ACTION_OPEN_DOCUMENT_TREE. */
class DocumentTree(private val resolver: ContentResolver, private val tree: Uri) {
    /** All its files. Throws [BundleException] where its provider does not give them. */
    fun list(): SourceFolder =
        try {
            val root = DocumentsContract.getTreeDocumentId(tree)
            val files = ArrayList<SourceFile>()
            listInto(files, root, "", 0)
            SourceFolder(nameOf(root), files)
        } catch (error: SecurityException) {
            throw BundleException("The folder may not be read any more; choose it again.", error)
        } catch (error: IllegalArgumentException) {
            throw BundleException("$tree is no folder that Android knows; choose it again.", error)
        }

    private fun nameOf(id: String): String =
        query(DocumentsContract.buildDocumentUriUsingTree(tree, id)).firstOrNull()?.name ?: "bundle"

    private fun listInto(files: MutableList<SourceFile>, folder: String, prefix: String, depth: Int) {
        if (depth > DEEPEST) throw BundleException("The folder is nested deeper than any bundle; choose another.")
        for (entry in query(DocumentsContract.buildChildDocumentsUriUsingTree(tree, folder))) {
            val path = prefix + entry.name
            if (entry.type == Document.MIME_TYPE_DIR) {
                listInto(files, entry.id, "$path/", depth + 1)
            } else {
                val uri = DocumentsContract.buildDocumentUriUsingTree(tree, entry.id)
                files += SourceFile(path, entry.bytes) { open(uri, path) }
            }
            if (files.size > MOST_FILES) {
                throw BundleException("The folder has more than $MOST_FILES files, unlike a bundle; choose another.")
            }
        }
    }

    private fun open(uri: Uri, path: String) =
        try {
            resolver.openInputStream(uri) ?: throw FileNotFoundException(path)
        } catch (error: SecurityException) {
            throw IOException("$path may not be read any more", error)
        }

    private class Entry(val id: String, val name: String, val type: String, val bytes: Long)

    private fun query(uri: Uri): List<Entry> {
        val entries = ArrayList<Entry>()
        val rows =
            resolver.query(uri, COLUMNS, null, null, null)
                ?: throw BundleException("The folder gives no list of files; choose it again.")
        rows.use {
            while (it.moveToNext()) {
                val bytes = if (it.isNull(3)) 0 else it.getLong(3)
                entries += Entry(it.getString(0), it.getString(1).orEmpty(), it.getString(2).orEmpty(), bytes)
            }
        }
        return entries
    }

    private companion object {
        const val DEEPEST = 8
        const val MOST_FILES = 10_000
        val COLUMNS =
            arrayOf(
                Document.COLUMN_DOCUMENT_ID,
                Document.COLUMN_DISPLAY_NAME,
                Document.COLUMN_MIME_TYPE,
                Document.COLUMN_SIZE,
            )
    }
}
