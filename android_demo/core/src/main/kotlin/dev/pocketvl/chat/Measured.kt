package dev.pocketvl.chat

/** The size in pixels in which an image is encoded, and the tokens that it takes. */
data class MeasuredImage(val width: Int, val height: Int, val tokens: Int)

/** How many frames of a video are encoded, their size in pixels, and the tokens that all of them take. */
data class MeasuredVideo(val frames: Int, val width: Int, val height: Int, val tokens: Int)
