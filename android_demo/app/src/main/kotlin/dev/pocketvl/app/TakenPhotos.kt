package dev.pocketvl.app

import android.content.ContentProvider
import android.content.ContentValues
import android.content.Context
import android.database.Cursor
import android.database.MatrixCursor
import android.net.Uri
import android.os.ParcelFileDescriptor
import android.provider.OpenableColumns
import java.io.File
import java.io.FileNotFoundException

/**
 * Photos that the phone's camera app takes for a question: files of this app, lent by Uri for as long as the camera's
 * app is open. So neither app needs a permission for storage.
 */
class TakenPhotos : ContentProvider() {
    override fun onCreate(): Boolean = true

    override fun getType(uri: Uri): String = "image/jpeg"

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor =
        ParcelFileDescriptor.open(file(uri), ParcelFileDescriptor.parseMode(mode))

    override fun query(
        uri: Uri,
        projection: Array<out String>?,
        selection: String?,
        selectionArgs: Array<out String>?,
        sortOrder: String?,
    ): Cursor {
        val file = file(uri)
        val columns =
            projection?.map { it }?.toTypedArray() ?: arrayOf(OpenableColumns.DISPLAY_NAME, OpenableColumns.SIZE)
        val row =
            columns.map { column ->
                when (column) {
                    OpenableColumns.DISPLAY_NAME -> file.name
                    OpenableColumns.SIZE -> file.length()
                    else -> null
                }
            }
        return MatrixCursor(columns).apply { addRow(row) }
    }

    override fun insert(uri: Uri, values: ContentValues?): Uri? = null

    override fun update(uri: Uri, values: ContentValues?, selection: String?, selectionArgs: Array<out String>?): Int =
        0

    override fun delete(uri: Uri, selection: String?, selectionArgs: Array<out String>?): Int = 0

    /** A plain name in the folder, so that no path leads out of it. */
    private fun file(uri: Uri): File {
        val name = uri.lastPathSegment
        if (name == null || !NAME.matches(name)) throw FileNotFoundException("$uri is no photo of this app")
        return File(folder(checkNotNull(context)), name)
    }

    companion object {
        private val NAME = Regex("photo-[0-9]+\\.jpg")
        private const val KEPT = 50

        /** The Uri of a photo that is still to be taken. The oldest beyond [KEPT] are deleted. */
        fun next(context: Context): Uri {
            val folder = folder(context)
            folder.mkdirs()
            val old = folder.listFiles().orEmpty().sortedByDescending { it.name }
            old.drop(KEPT - 1).forEach { it.delete() }
            val name = "photo-%013d.jpg".format(java.util.Locale.ROOT, System.currentTimeMillis())
            return Uri
                .Builder()
                .scheme("content")
                .authority("${context.packageName}.photos")
                .appendPath(name)
                .build()
        }

        private fun folder(context: Context) = File(context.filesDir, "photos")
    }
}
