package dev.pocketvl.app

import android.content.Context
import android.view.LayoutInflater
import android.view.View
import android.view.ViewGroup
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.TextView
import dev.pocketvl.presentation.chat.ChatState
import dev.pocketvl.presentation.chat.Outcome
import dev.pocketvl.presentation.chat.Turn
import dev.pocketvl.presentation.platform.Photo
import dev.pocketvl.presentation.text.Numbers
import dev.pocketvl.presentation.text.statisticsLine

/** A question with its images, and the answer with boxes, numbers and whatever went wrong. */
internal class TurnView(
    context: Context,
    parent: ViewGroup,
    private val thumbnails: Thumbnails,
    private val texts: Texts,
    private val numbers: Numbers,
) {
    val view: View = LayoutInflater.from(context).inflate(R.layout.turn, parent, false)
    private val question = find<TextView>(R.id.question)
    private val photos = find<LinearLayout>(R.id.photos)
    private val answer = find<TextView>(R.id.answer)
    private val boxes = find<BoxOverlayView>(R.id.boxes)
    private val remark = find<TextView>(R.id.remark)
    private val error = find<TextView>(R.id.error)
    private val facts = find<TextView>(R.id.facts)
    private var shown: Turn? = null

    fun render(state: ChatState, index: Int) {
        val turn = state.turns[index]
        if (turn == shown) return
        question.text = turn.question.text
        if (turn.question.photos != shown?.question?.photos) showPhotos(turn.question.photos)
        answer.text = turn.answer.ifEmpty { if (turn.outcome is Outcome.Answering) "…" else "" }
        answer.isPresent = answer.text.isNotEmpty()
        val finished = turn.outcome as? Outcome.Finished
        showBoxes(state, index, finished)
        val remarks = finished?.let { listOfNotNull(texts.end(it.end)) + it.notes }.orEmpty()
        show(remark, remarks.joinToString("\n"))
        show(error, (turn.outcome as? Outcome.Failed)?.message.orEmpty())
        val statistics = finished?.statistics
        val line = statistics?.let { texts.facts(statisticsLine(it, finished.memory, finished.thermal, numbers)) }
        show(facts, line.orEmpty())
        shown = turn
    }

    private fun showPhotos(all: List<Photo>) {
        photos.removeAllViews()
        for (photo in all) {
            val image = LayoutInflater.from(view.context).inflate(R.layout.photo, photos, false) as ImageView
            image.contentDescription = view.context.getString(R.string.photo_named, photo.name)
            photos.addView(image)
            thumbnails.load(photo, image)
        }
        (photos.parent as View).isPresent = all.isNotEmpty()
    }

    private fun showBoxes(state: ChatState, index: Int, finished: Outcome.Finished?) {
        val found = finished?.boxes.orEmpty()
        val photo = found.firstOrNull()?.let { state.photoOf(index, it) }
        boxes.isPresent = photo != null
        if (photo == null) return
        val labels = found.map { it.label }.filter { it.isNotEmpty() }.distinct()
        boxes.contentDescription =
            view.resources.getQuantityString(R.plurals.boxes, found.size, found.size, labels.joinToString())
        boxes.show(photo, found)
        thumbnails.load(photo, boxes)
    }

    private fun show(line: TextView, text: String) {
        line.text = text
        line.isPresent = text.isNotEmpty()
    }

    @Suppress("UNCHECKED_CAST")
    private fun <T : View> find(id: Int): T = view.findViewById(id) as T
}
