package dev.pocketvl.engines

import dev.pocketvl.media.RgbImage
import dev.pocketvl.media.video.FrameList
import dev.pocketvl.text.ImagePart
import dev.pocketvl.text.Part
import dev.pocketvl.text.TextPart
import dev.pocketvl.text.VideoPart
import java.io.File
import java.io.RandomAccessFile

/** One turn of the user, and what Python's answer to it was. */
internal class Turn(val parts: List<Part>, val promptTokens: Int, val ids: List<Int>, val text: String)

/** The conversations of tests/kotlin/engine_cases.py with the answers that one bundle gives in Python. */
internal class QuestionCases(bundle: String) {
    private val cases = EngineCases.json("cases")
    private val answers = members(EngineCases.json(bundle))["answers"] as List<*>
    private val sizes = cases["images"] as List<*>
    private val pixels = RandomAccessFile(File(System.getProperty("pocketvl.cases"), "images.rgb"), "r")

    val minPixels = int(cases["min_pixels"])
    val maxPixels = int(cases["max_pixels"])
    val maxTokens = int(cases["max_tokens"])

    /** Name to turns. */
    val conversations: Map<String, List<Turn>> =
        (cases["conversations"] as List<*>).zip(answers).associate { (asked, answered) ->
            val turns =
                (members(asked)["turns"] as List<*>).zip(answered as List<*>).map { (turn, answer) ->
                    turn(members(turn), members(answer))
                }
            members(asked)["name"] as String to turns
        }

    private fun turn(asked: Map<String, Any?>, answered: Map<String, Any?>): Turn {
        val images = (asked["images"] as List<*>).map { ImagePart(image(int(it))) }
        val video = (asked["video"] as List<*>?)?.let { frames -> VideoPart(FrameList(frames.map { image(int(it)) })) }
        val parts = images + listOfNotNull(video) + TextPart(asked["question"] as String)
        val ids = (answered["ids"] as List<*>).map(::int)
        return Turn(parts, int(answered["prompt_tokens"]), ids, answered["text"] as String)
    }

    private fun image(number: Int): RgbImage {
        val size = members(sizes[number])
        val bytes = ByteArray(int(size["height"]) * int(size["width"]) * 3)
        pixels.seek((size["offset"] as Long))
        pixels.readFully(bytes)
        return RgbImage(int(size["width"]), int(size["height"]), bytes)
    }

    @Suppress("UNCHECKED_CAST")
    private fun members(value: Any?) = value as Map<String, Any?>

    private fun int(value: Any?) = Math.toIntExact(value as Long)
}
