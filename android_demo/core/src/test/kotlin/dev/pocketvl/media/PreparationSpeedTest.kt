package dev.pocketvl.media

import com.sun.management.ThreadMXBean
import dev.pocketvl.Matrix
import dev.pocketvl.visionGeometry
import org.junit.jupiter.api.Tag
import java.awt.image.BufferedImage
import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.lang.management.ManagementFactory
import javax.imageio.ImageIO
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** A photo of 12 megapixels to patches of 1024 tokens at most, in CPU time of one thread. */
@Tag("slow")
class PreparationSpeedTest {
    private val thread = ManagementFactory.getThreadMXBean() as ThreadMXBean
    private val settings = imageSettings(maxPixels = 1024 * 784)

    private class Cost(val milliseconds: Long, val wall: Long, val bytes: Long)

    @Test
    fun `pixels in memory become patches within a second and a half, cold and warm`() {
        val photo = painted(4000, 3000)
        val costs = List(4) { cost { patches(photo, Orientation.UPRIGHT) } }
        report("RGB in memory", costs)
        report("RGB in memory, to be turned", List(2) { cost { patches(photo, Orientation.ROTATE_CLOCKWISE) } })
        assertTrue(costs.all { it.milliseconds <= 1500 }, "too slow")
        // The patches themselves are 18 MB, the resized image 2 MB.
        assertTrue(costs.all { it.bytes < 25_000_000 }, "allocates too much")
    }

    @Test
    fun `ARGB pixels read in bands cost hardly more`() {
        val argb = IntArray(4000 * 3000) { 255 shl 24 or it * 2654435 }
        val costs =
            List(4) {
                cost {
                    val image =
                        readUpright(PixelSize(3000, 4000), Orientation.ROTATE_CLOCKWISE, PixelSize(1008, 756)) {
                            left,
                            top,
                            width,
                            height,
                            into,
                            ->
                            for (y in 0 until height) {
                                argb.copyInto(into, y * width, (top + y) * 4000 + left, (top + y) * 4000 + left + width)
                            }
                        }
                    patchify(image, visionGeometry(), settings)
                }
            }
        report("ARGB in bands, to be turned", costs)
        assertTrue(costs.all { it.milliseconds <= 1500 }, "too slow")
        assertTrue(costs.all { it.bytes < 25_000_000 }, "allocates too much")
    }

    @Test
    fun `a JPEG's time is reported, most of which is the decoder's`() {
        val photo = BufferedImage(4000, 3000, BufferedImage.TYPE_3BYTE_BGR)
        for (y in 0 until 3000) {
            for (x in 0 until 4000) photo.setRGB(x, y, (x / 16) * 0x010001 + (y / 12) * 0x000100)
        }
        val file = ByteArrayOutputStream().also { ImageIO.write(photo, "jpeg", it) }.toByteArray()
        val decoding = List(3) { cost { ImageIO.read(ByteArrayInputStream(file)) } }
        report("JPEG of ${file.size} bytes, decoding alone (ImageIO)", decoding)
        var rows = 0
        val whole =
            List(3) {
                cost {
                    val header = readImageHeader(file)
                    val decoded = ImageIO.read(ByteArrayInputStream(file))
                    val (height, width) = header.upright
                    val size = resizeToBucket(height, width, visionGeometry(), settings, listOf(4096))
                    val image =
                        readUpright(header.stored, header.orientation, size) { x, y, w, h, into ->
                            decoded.getRGB(x, y, w, h, into, 0, w)
                        }
                    rows = patchify(image, visionGeometry(), settings).rows
                }
            }
        report("JPEG to patches", whole)
        assertEquals(54 * 72, rows)
    }

    private fun patches(photo: RgbImage, orientation: Orientation): Matrix {
        val upright = orientation.turned(photo.size())
        val size = resizeToBucket(upright.height, upright.width, visionGeometry(), settings, listOf(4096))
        return patchify(resizeImage(photo, size, orientation), visionGeometry(), settings)
    }

    private fun cost(work: () -> Unit): Cost {
        val id = Thread.currentThread().id
        val bytes = thread.getThreadAllocatedBytes(id)
        val wall = System.nanoTime()
        val cpu = thread.currentThreadCpuTime
        work()
        val took = (thread.currentThreadCpuTime - cpu) / 1_000_000
        return Cost(took, (System.nanoTime() - wall) / 1_000_000, thread.getThreadAllocatedBytes(id) - bytes)
    }

    private fun report(what: String, costs: List<Cost>) {
        val each = costs.joinToString { "${it.milliseconds} ms CPU (${it.wall} ms), ${it.bytes / 1_000_000} MB" }
        println("$what: $each")
    }
}
