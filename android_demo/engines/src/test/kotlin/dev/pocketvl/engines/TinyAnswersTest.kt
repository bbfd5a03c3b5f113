package dev.pocketvl.engines

import dev.pocketvl.LoadOptions
import dev.pocketvl.PocketVL
import dev.pocketvl.chat.AskOptions
import dev.pocketvl.chat.ChatOptions
import dev.pocketvl.chat.Sampling
import dev.pocketvl.json.Json
import dev.pocketvl.media.RgbImage
import dev.pocketvl.text.ImagePart
import dev.pocketvl.text.TextPart
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.ValueSource
import java.io.File
import java.util.Base64
import javax.imageio.ImageIO
import kotlin.test.assertEquals
import kotlin.test.assertTrue

/** The golden tiny_answers.json: whole answers of the tiny model in float32, which no runtime had a part in. */
class TinyAnswersTest {
    private val golden =
        Json.parse(File(System.getProperty("pocketvl.golden"), "tiny_answers.json").readText()) as Map<*, *>

    @ParameterizedTest
    @ValueSource(strings = ["onnx-fp32", "executorch-fp32"])
    fun `every token is the reference's`(name: String) {
        val limits = ChatOptions(minPixels = number("min_pixels"), maxPixels = number("max_pixels"), keepVision = true)
        val options = AskOptions(maxTokens = number("max_tokens"), sampling = Sampling.GREEDY)
        PocketVL.load(EngineCases.folder(name), Engines.forTarget, LoadOptions(threads = 1)).use { model ->
            val chat = model.chat(limits)
            val cases = golden["cases"] as List<*>
            assertTrue(cases.size > 5)
            for (case in cases) {
                chat.reset()
                for (turn in (case as Map<*, *>)["turns"] as List<*>) {
                    turn as Map<*, *>
                    val images = (turn["images"] as List<*>).map { ImagePart(image(it as String)) }
                    val answer = chat.askBlocking(images + TextPart(turn["question"] as String), options)
                    assertEquals((turn["ids"] as List<*>).map { (it as Long).toInt() }, answer.tokenIds.toList())
                    assertEquals((turn["prompt_tokens"] as Long).toInt(), answer.promptTokenIds.size)
                    assertEquals(turn["text"], answer.text)
                }
            }
        }
    }

    private fun number(key: String): Int = (golden[key] as Long).toInt()

    private fun image(base64: String): RgbImage {
        val decoded = ImageIO.read(Base64.getDecoder().decode(base64).inputStream())
        val pixels = ByteArray(3 * decoded.width * decoded.height)
        val argb = decoded.getRGB(0, 0, decoded.width, decoded.height, null, 0, decoded.width)
        for ((index, color) in argb.withIndex()) {
            for (channel in 0..2) pixels[3 * index + channel] = (color shr (16 - 8 * channel)).toByte()
        }
        return RgbImage(decoded.width, decoded.height, pixels)
    }
}
