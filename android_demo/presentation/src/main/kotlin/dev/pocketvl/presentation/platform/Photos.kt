package dev.pocketvl.presentation.platform

import dev.pocketvl.media.ImageSource

/**
 * An image that the user attached: [uri] of a content provider, and its size upright, in pixels, as the EXIF
 * orientation says. Boxes of answers are in these pixels.
 */
data class Photo(val uri: String, val name: String, val width: Int, val height: Int)

/** Looks at images behind content Uris; called off the main thread. */
fun interface PhotoReader {
    /** Reads the header only. Throws [dev.pocketvl.ImageException]: not there any more, no permission, no image. */
    fun read(uri: String): Photo
}

/** Decodes images behind content Uris. */
fun interface ImageOpener {
    /** Reads nothing yet: what is wrong is thrown when the image is read. */
    fun open(photo: Photo): ImageSource
}
