package dev.pocketvl.presentation.saved

import dev.pocketvl.decoding.StopReason
import dev.pocketvl.json.Json
import dev.pocketvl.json.JsonException
import dev.pocketvl.presentation.chat.Outcome
import dev.pocketvl.presentation.chat.Turn
import dev.pocketvl.presentation.model.Question
import dev.pocketvl.presentation.platform.Photo
import dev.pocketvl.text.Box

/** The turns on the screen as JSON. Failed and unfinished turns, statistics and readings are left out. */
internal object Transcript {
    private const val VERSION = 1L

    fun write(turns: List<Turn>): String = Json.write(mapOf("version" to VERSION, "turns" to turns.mapNotNull(::turn)))

    /** Null for what [write] did not write: the app was updated or the file is damaged. */
    fun read(text: String): List<Turn>? =
        try {
            val document = Json.parse(text) as Map<*, *>
            if (document["version"] != VERSION) null else document.list("turns") { readTurn(it as Map<*, *>) }
        } catch (_: JsonException) {
            null
        } catch (_: ClassCastException) {
            // a member of another kind
            null
        } catch (_: NullPointerException) {
            // a member that is missing
            null
        } catch (_: IllegalArgumentException) {
            // a reason that is unknown
            null
        }

    private fun turn(turn: Turn): Map<String, Any?>? {
        val outcome = turn.outcome as? Outcome.Finished ?: return null
        return mapOf(
            "question" to turn.question.text,
            "photos" to turn.question.photos.map(::photo),
            "answer" to turn.answer,
            "end" to outcome.end.name,
            "boxes" to outcome.boxes.map(::box),
            "notes" to outcome.notes,
        )
    }

    private fun photo(photo: Photo) =
        mapOf("uri" to photo.uri, "name" to photo.name, "width" to photo.width, "height" to photo.height)

    private fun box(box: Box) =
        mapOf("label" to box.label, "image" to box.image, "corners" to listOf(box.x1, box.y1, box.x2, box.y2))

    private fun readTurn(turn: Map<*, *>): Turn {
        val photos = turn.list("photos") { readPhoto(it as Map<*, *>) }
        val boxes = turn.list("boxes") { readBox(it as Map<*, *>) }
        val end = StopReason.valueOf(turn.text("end"))
        val outcome = Outcome.Finished(end, boxes, turn.list("notes") { it as String })
        return Turn(Question(turn.text("question"), photos), turn.text("answer"), outcome)
    }

    private fun readPhoto(photo: Map<*, *>) =
        Photo(photo.text("uri"), photo.text("name"), photo.number("width"), photo.number("height"))

    private fun readBox(box: Map<*, *>): Box {
        val corners = box.list("corners") { (it as Number).toDouble() }
        require(corners.size == 4) { "a box of ${corners.size} numbers" }
        return Box(box.text("label"), box.number("image"), corners[0], corners[1], corners[2], corners[3])
    }

    private fun Map<*, *>.text(key: String): String = this[key] as String

    private fun Map<*, *>.number(key: String): Int = (this[key] as Number).toInt()

    private fun <T> Map<*, *>.list(key: String, read: (Any?) -> T): List<T> = (this[key] as List<*>).map(read)
}
