package dev.pocketvl.app.platform

import android.content.ContentResolver
import android.net.Uri
import android.provider.OpenableColumns
import dev.pocketvl.media.ImageSource
import dev.pocketvl.presentation.platform.Photo
import dev.pocketvl.presentation.platform.PhotoReader

/** Images behind content Uris: of the photo picker, of other apps, of the app's own camera. */
class ContentPhotos(private val resolver: ContentResolver) : PhotoReader {
    override fun read(uri: String): Photo {
        val parsed = Uri.parse(uri)
        val name = nameOf(parsed)
        val size = ContentImage(resolver, parsed, name).size()
        return Photo(uri, name, size.width, size.height)
    }

    /** What a message shows for a [photo]. */
    fun source(photo: Photo): ImageSource = ContentImage(resolver, Uri.parse(photo.uri), photo.name)

    /** A provider need not tell a name, nor answer at all; a photo without one can still be read. */
    private fun nameOf(uri: Uri): String {
        val told =
            try {
                resolver.query(uri, arrayOf(OpenableColumns.DISPLAY_NAME), null, null, null)?.use { row ->
                    if (row.moveToFirst() && !row.isNull(0)) row.getString(0) else null
                }
            } catch (_: RuntimeException) {
                null // of the provider, whatever it is: it comes through Binder
            }
        return told?.takeIf { it.isNotBlank() } ?: uri.lastPathSegment ?: "the photo"
    }
}
