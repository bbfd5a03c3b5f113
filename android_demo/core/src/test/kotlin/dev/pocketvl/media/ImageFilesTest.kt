package dev.pocketvl.media

import dev.pocketvl.Golden
import dev.pocketvl.int
import dev.pocketvl.json.Json
import dev.pocketvl.listOf
import dev.pocketvl.members
import dev.pocketvl.visionGeometry
import org.junit.jupiter.api.Assumptions.assumeTrue
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest
import java.util.Base64
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** Encoded images of every kind: what their headers say, and the patches that their pixels become. */
class ImageFilesTest {
    private class Given(val case: Map<String, Any?>, val file: ByteArray, val pixels: ByteArray)

    @Test
    fun `headers, sizes, pixels and patches of small images of every kind are the golden ones`() {
        val data = Golden.read("image_files")
        val cases = data["cases"].listOf<Map<String, Any?>>()
        assertTrue(cases.size > 40)
        val decoder = Base64.getDecoder()
        check(data, cases) { index ->
            val case = cases[index]
            Given(
                case,
                decoder.decode(case["file_base64"].toString()),
                decoder.decode(case["pixels_base64"].toString()),
            )
        }
    }

    /** Those that `python -m tests.golden.photographs FOLDER` writes; the property is pocketvl.images. */
    @Test
    fun `so are those of photographs in a folder that a property names`() {
        val folder = System.getProperty("pocketvl.images")?.let { File(it) }
        assumeTrue(folder != null, "give -Dpocketvl.images=FOLDER")
        val data = Json.parse(folder!!.resolve("index.json").readText()).members()
        val cases = data["cases"].listOf<Map<String, Any?>>()
        check(data, cases) {
            Given(cases[it], folder.resolve("$it.image").readBytes(), folder.resolve("$it.pixels").readBytes())
        }
    }

    private fun check(data: Map<String, Any?>, cases: List<Map<String, Any?>>, given: (Int) -> Given) {
        val settings = imageSettings(data["min_pixels"].int(), data["max_pixels"].int())
        for (index in cases.indices) check(given(index), settings.minPixels, settings.maxPixels)
    }

    private fun check(given: Given, minPixels: Int, maxPixels: Int) {
        val name = given.case["name"].toString()
        val settings = imageSettings(minPixels, maxPixels)
        val header = readImageHeader(given.file, name)
        assertEquals(given.case["format"], header.format.name, name)
        assertEquals(pixelSize(given.case["stored"]), header.stored, name)
        assertEquals(given.case["orientation"].int(), header.orientation.value, name)
        val upright = header.upright
        val size = resizeToBucket(upright.height, upright.width, visionGeometry(), settings, listOf(4096))
        assertEquals(pixelSize(given.case["size"]), size, name)
        val image = resized(given, header, size)
        assertEquals(given.case["key"], contentKey(image), name)
        assertEquals(given.case["patches_sha256"], sha256(patchify(image, visionGeometry(), settings).values), name)
    }

    private fun resized(given: Given, header: ImageHeader, size: PixelSize): RgbImage {
        val stored = header.stored
        val pixels = given.pixels
        if (given.case["channels"].int() == 3) {
            return resizeImage(RgbImage(stored.width, stored.height, pixels), size, header.orientation)
        }
        return readUpright(stored, header.orientation, size) { left, top, width, height, into ->
            for (y in 0 until height) {
                for (x in 0 until width) {
                    val at = 4 * ((top + y) * stored.width + left + x)
                    into[y * width + x] = ByteBuffer.wrap(pixels, at, 4).getInt().let { it ushr 8 or (it shl 24) }
                }
            }
        }
    }

    private fun sha256(values: FloatArray): String {
        val bytes = ByteBuffer.allocate(4 * values.size).order(ByteOrder.LITTLE_ENDIAN)
        bytes.asFloatBuffer().put(values)
        return hex(MessageDigest.getInstance("SHA-256").digest(bytes.array()))
    }
}
