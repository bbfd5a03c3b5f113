package dev.pocketvl.app.platform

import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CaptureRequest
import android.os.Handler
import android.view.Surface
import dev.pocketvl.ImageException

/** Once the camera is open: a repeating capture into [targets]. All calls are in the thread of [handler]. */
internal class CameraCapture(
    private val targets: List<Surface>,
    private val handler: Handler,
    private val onFailure: (ImageException) -> Unit,
) : CameraDevice.StateCallback() {
    private var camera: CameraDevice? = null
    private var isStopped = false

    override fun onOpened(opened: CameraDevice) {
        if (isStopped) {
            opened.close()
            return
        }
        camera = opened
        attempt { opened.createCaptureSession(targets, Session(opened), handler) }
    }

    override fun onDisconnected(opened: CameraDevice) {
        opened.close()
        onFailure(ImageException("Another app has taken the camera; close it and try again."))
    }

    override fun onError(opened: CameraDevice, error: Int) {
        opened.close()
        onFailure(ImageException("The camera has failed (error $error); close other apps that use it."))
    }

    fun stop() {
        isStopped = true
        camera?.close() // ends its session as well
        camera = null
    }

    private inner class Session(private val opened: CameraDevice) : CameraCaptureSession.StateCallback() {
        override fun onConfigured(session: CameraCaptureSession) {
            if (isStopped) return
            attempt {
                val request = opened.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
                targets.forEach(request::addTarget)
                request.set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE)
                session.setRepeatingRequest(request.build(), null, handler)
            }
        }

        override fun onConfigureFailed(session: CameraCaptureSession) {
            onFailure(ImageException("The camera gives no frames of this size; please report the phone's model."))
        }
    }

    private inline fun attempt(call: () -> Unit) {
        try {
            call()
        } catch (error: CameraAccessException) {
            onFailure(ImageException("The camera has failed (${error.message}); try again.", error))
        } catch (error: IllegalStateException) {
            // closed meanwhile
            if (!isStopped) onFailure(ImageException("The camera was closed; try again.", error))
        } catch (error: IllegalArgumentException) {
            // the preview's surface is gone
            if (!isStopped) onFailure(ImageException("The camera's preview is gone; try again.", error))
        }
    }
}
