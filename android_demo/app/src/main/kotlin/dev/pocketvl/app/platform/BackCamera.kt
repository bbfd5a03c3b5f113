package dev.pocketvl.app.platform

import android.Manifest
import android.content.Context
import android.content.pm.PackageManager
import android.graphics.ImageFormat
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraManager
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.os.HandlerThread
import android.util.Size
import android.view.Surface
import dev.pocketvl.ImageException
import dev.pocketvl.media.RgbImage
import dev.pocketvl.presentation.camera.YuvFrame
import dev.pocketvl.presentation.camera.YuvPlane
import dev.pocketvl.presentation.platform.FrameCamera
import kotlinx.coroutines.channels.awaitClose
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.callbackFlow
import kotlinx.coroutines.flow.conflate
import kotlinx.coroutines.flow.emitAll
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.mapNotNull

/**
 * The camera at the phone's back, or its first one, by camera2.
 *
 * [preview]: where the camera also draws, asked for when it opens; null for nowhere. [displayRotation]: the display's
 * rotation (Surface.ROTATION_0 ...), asked for with each frame.
 */
class BackCamera(
    private val context: Context,
    private val preview: () -> Surface?,
    private val displayRotation: () -> Int,
) : FrameCamera {
    private val manager = context.getSystemService(Context.CAMERA_SERVICE) as CameraManager

    /** A frame is turned into RGB in the collector's thread, and only when the collector is ready for it. */
    override fun frames(): Flow<RgbImage> =
        flow {
            val chosen = choose()
            NewestImage().use { newest ->
                val arrivals = arrivals(chosen, newest).conflate()
                emitAll(arrivals.mapNotNull { newest.take { toRgb(it, chosen.degrees(displayRotation())) } })
            }
        }

    /** Says when [newest] was refreshed; the camera is open meanwhile. */
    private fun arrivals(chosen: Chosen, newest: NewestImage): Flow<Unit> =
        callbackFlow {
            val thread = HandlerThread("camera").apply { start() }
            val handler = Handler(thread.looper)
            val size = chosen.size
            val reader = ImageReader.newInstance(size.width, size.height, ImageFormat.YUV_420_888, BUFFERS)
            reader.setOnImageAvailableListener({ if (newest.refresh(it)) trySend(Unit) }, handler)
            val capture = CameraCapture(listOfNotNull(reader.surface, preview()), handler) { close(it) }
            try {
                manager.openCamera(chosen.id, capture, handler)
            } catch (error: CameraAccessException) {
                close(
                    ImageException("The camera does not open (${error.message}); close other apps that use it.", error),
                )
            } catch (error: SecurityException) {
                close(noPermission(error))
            }
            awaitClose {
                // In the thread of the callbacks, so that a camera which opens at this moment is closed as well.
                handler.post {
                    capture.stop()
                    newest.close()
                    reader.close()
                    thread.quitSafely()
                }
            }
        }

    private class Chosen(val id: String, val size: Size, val sensor: Int, val isFront: Boolean) {
        /** Clockwise, so that a frame stands as the display does. */
        fun degrees(rotation: Int): Int {
            val display = 90 * rotation
            return (if (isFront) sensor + display else sensor - display + 360) % 360
        }
    }

    private fun choose(): Chosen {
        if (context.checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) {
            throw noPermission(null)
        }
        try {
            val all = manager.cameraIdList.map { it to manager.getCameraCharacteristics(it) }
            val (id, facts) = all.firstOrNull { it.second.isBack() } ?: all.firstOrNull() ?: throw none()
            val streams = facts.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP)
            val sizes = streams?.getOutputSizes(ImageFormat.YUV_420_888).orEmpty().filter { it.isUsable() }
            val size = sizes.minByOrNull { it.width.toLong() * it.height } ?: throw none()
            val isFront = facts.get(CameraCharacteristics.LENS_FACING) == CameraCharacteristics.LENS_FACING_FRONT
            return Chosen(id, size, facts.get(CameraCharacteristics.SENSOR_ORIENTATION) ?: 0, isFront)
        } catch (error: CameraAccessException) {
            throw ImageException("The cameras cannot be listed (${error.message}); try again later.", error)
        }
    }

    private fun CameraCharacteristics.isBack() =
        get(CameraCharacteristics.LENS_FACING) == CameraCharacteristics.LENS_FACING_BACK

    /** As many pixels as a model of a phone looks at, not many more. */
    private fun Size.isUsable() = minOf(width, height) >= SHORT_SIDE && width % 2 == 0 && height % 2 == 0

    private fun none() = ImageException("This phone has no camera that gives frames of $SHORT_SIDE lines or more.")

    private fun noPermission(cause: Throwable?) =
        ImageException("The app may not use the camera; allow it in the phone's settings.", cause)

    private fun toRgb(image: Image, degrees: Int): RgbImage {
        val (y, u, v) = image.planes.map { YuvPlane(it.buffer, it.rowStride, it.pixelStride) }
        return YuvFrame(image.width, image.height, y, u, v).toRgb(degrees)
    }

    private companion object {
        /** One that the camera fills, one that waits for the listener, one that is held, one that is converted. */
        const val BUFFERS = 4
        const val SHORT_SIDE = 480
    }
}
