package dev.pocketvl.media

import dev.pocketvl.ImageException
import dev.pocketvl.Matrix
import dev.pocketvl.bundle.ImageSettings
import dev.pocketvl.bundle.VisionGeometry
import dev.pocketvl.decoding.Grid

private const val LEVELS = 256
private const val CHANNELS = 3

/** The grid of an image in that size, or of a video of so many temporal slices. */
fun gridOf(size: PixelSize, vision: VisionGeometry, slices: Int = 1): Grid =
    Grid(slices, size.height / vision.patchSize, size.width / vision.patchSize)

/** Patches (h * w, patchDim) of a still image, which is its frame repeated; see the other patchify. */
fun patchify(image: RgbImage, vision: VisionGeometry, settings: ImageSettings): Matrix =
    patchify(List(vision.temporalPatchSize) { image }, vision, settings)

/**
 * Patches (t * h * w, patchDim) of a video's frames, taken temporalPatchSize at a time.
 *
 * Frames are of one size, with sides that are multiples of vision.factor (see [resizeToBucket]). Rows run over
 * (t, h / merge, w / merge, merge, merge), a row over (channel, frame, y, x). Throws [ImageException].
 */
fun patchify(frames: List<RgbImage>, vision: VisionGeometry, settings: ImageSettings): Matrix {
    checkFrames(frames, vision)
    val grid = gridOf(frames[0].size(), vision, frames.size / vision.temporalPatchSize)
    val patches = Matrix(Math.multiplyExact(Math.multiplyExact(grid.t, grid.h), grid.w), vision.patchDim)
    val writer = PatchWriter(patches.values, levels(settings), vision.patchSize)
    val merge = vision.spatialMergeSize
    for (slice in frames.chunked(vision.temporalPatchSize)) {
        for (top in 0 until grid.h step merge) {
            for (left in 0 until grid.w step merge) {
                for (row in top until top + merge) {
                    for (column in left until left + merge) writer.write(slice, row, column)
                }
            }
        }
    }
    return patches
}

private class PatchWriter(private val values: FloatArray, private val levels: FloatArray, private val side: Int) {
    private var at = 0

    /** The patch at [row] and [column] of one slice's frames. */
    fun write(slice: List<RgbImage>, row: Int, column: Int) {
        for (channel in 0 until CHANNELS) {
            val before = at
            for ((number, frame) in slice.withIndex()) {
                if (number > 0 && frame === slice[0]) {
                    values.copyInto(values, at, before, before + side * side)
                    at += side * side
                } else {
                    write(frame, row, column, channel)
                }
            }
        }
    }

    private fun write(frame: RgbImage, row: Int, column: Int, channel: Int) {
        val pixels = frame.pixels
        for (y in row * side until (row + 1) * side) {
            var from = CHANNELS * (y * frame.width + column * side) + channel
            repeat(side) {
                values[at++] = levels[LEVELS * channel + (pixels[from].toInt() and 255)]
                from += CHANNELS
            }
        }
    }
}

private fun checkFrames(frames: List<RgbImage>, vision: VisionGeometry) {
    if (vision.inChannels != CHANNELS) {
        throw ImageException("This model takes ${vision.inChannels} channels, and images have $CHANNELS.")
    }
    if (frames.isEmpty() || frames.size % vision.temporalPatchSize != 0) {
        throw ImageException(
            "A video of ${frames.size} frames cannot be taken ${vision.temporalPatchSize} at a time; sample a" +
                " multiple of that.",
        )
    }
    val first = frames[0].size()
    frames.firstOrNull { it.size() != first }?.let {
        throw ImageException(
            "Every frame must be RGB of $first pixels like the first, not RGB of ${it.size()}; load and resize all" +
                " frames alike.",
        )
    }
    if (first.height % vision.factor != 0 || first.width % vision.factor != 0) {
        throw ImageException(
            "An image of $first pixels has a side that is no multiple of ${vision.factor}; resize it with" +
                " resizeToBucket first.",
        )
    }
}

/** (3, 256): what each level of each channel becomes, rounded where the reference rounds. */
private fun levels(settings: ImageSettings): FloatArray =
    FloatArray(CHANNELS * LEVELS) {
        val scaled = ((it % LEVELS) * (1.0 / 255)).toFloat()
        (scaled - settings.mean[it / LEVELS].toFloat()) / settings.std[it / LEVELS].toFloat()
    }
