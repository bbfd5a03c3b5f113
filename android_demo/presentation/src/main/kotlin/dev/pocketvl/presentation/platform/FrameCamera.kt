package dev.pocketvl.presentation.platform

import dev.pocketvl.media.RgbImage
import kotlinx.coroutines.flow.Flow

/** The phone's camera, for live answers. */
fun interface FrameCamera {
    /**
     * Upright frames, of which a slow collector gets the newest one whenever it asks: frames in between are dropped,
     * not kept. The camera is open while the flow is collected. Fails with [dev.pocketvl.ImageException]: no
     * permission, no camera, taken by another app, or broken.
     */
    fun frames(): Flow<RgbImage>
}
