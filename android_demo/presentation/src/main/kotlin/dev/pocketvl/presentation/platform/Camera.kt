package dev.pocketvl.presentation.platform

import dev.pocketvl.media.RgbImage
import dev.pocketvl.media.Thumbnail
import kotlinx.coroutines.flow.Flow

/** A frame of the camera, which owns its pixels. */
interface CameraFrame {
    /** Of the luma, compared with those of the same camera only. */
    val thumbnail: Thumbnail

    /** Upright, in RGB; made when it is asked for, since most frames are not asked about. */
    fun image(): RgbImage
}

/** The camera at the phone's back. */
fun interface Camera {
    /**
     * Opens the camera for as long as the flow is collected, and drops frames that the collector has no time for.
     * Throws [dev.pocketvl.ImageException]: no camera, no permission, another app has it.
     */
    fun frames(): Flow<CameraFrame>
}
