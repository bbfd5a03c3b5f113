package dev.pocketvl.app

import android.Manifest
import android.content.pm.PackageManager
import android.os.Bundle
import android.view.WindowManager
import android.widget.Button
import android.widget.EditText
import android.widget.ImageView
import android.widget.TextView
import dev.pocketvl.presentation.live.LivePhase
import dev.pocketvl.presentation.live.LiveState
import dev.pocketvl.presentation.text.SpokenText
import dev.pocketvl.presentation.text.statisticsLine
import kotlinx.coroutines.CoroutineScope

/** Answers about what the camera sees, of which it shows the frames that the model gets. */
class LiveActivity : ScreenActivity() {
    private val live get() = app.live
    private val texts by lazy { Texts(this, numbers) }
    private val spoken = SpokenText()

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setScreen(R.layout.activity_live)
        val question = find<EditText>(R.id.question)
        question.setText(
            live.state.value.question
                .ifEmpty { getString(R.string.live_question) },
        )
        live.type(question.text.toString())
        question.addTextChangedListener(AfterTyping { live.type(it) })
        onClick(R.id.start) { if (live.state.value.isOn) live.stop() else start() }
    }

    private fun start() {
        if (checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED) {
            live.start()
        } else {
            requestPermissions(arrayOf(Manifest.permission.CAMERA), 0)
        }
    }

    override fun onRequestPermissionsResult(requestCode: Int, permissions: Array<out String>, grantResults: IntArray) {
        if (grantResults.firstOrNull() == PackageManager.PERMISSION_GRANTED) {
            live.start()
        } else {
            tell(getString(R.string.camera_denied))
        }
    }

    override fun render(scope: CoroutineScope) {
        scope.show(live.state, ::render)
        scope.show(live.frame) { frame -> find<ImageView>(R.id.preview).setImageBitmap(frame?.toBitmap()) }
    }

    /** Another screen of this app may use the model next; turning the phone goes on. */
    override fun onStop() {
        if (!isChangingConfigurations) live.stop()
        super.onStop()
    }

    private fun render(state: LiveState) {
        find<TextView>(R.id.answer).apply {
            text = state.answer
            alpha = if (state.isOld) OLD else 1f
        }
        val phase = listOfNotNull(texts.phase(state.phase), texts.warmth(state.warmth), state.message)
        find<TextView>(R.id.phase).text = phase.joinToString(" · ")
        find<Button>(R.id.start).apply {
            setText(if (state.isOn) R.string.stop else R.string.start)
            isEnabled = state.isOn || state.canStart
        }
        val line = state.statistics?.let { texts.facts(statisticsLine(it, null, app.pace.reading.value, numbers)) }
        find<TextView>(R.id.facts).text = line.orEmpty()
        keepScreenOn(state.isOn)
        val sentences = spoken.next(state.answer, isDone = state.phase != LivePhase.ANSWERING)
        @Suppress("DEPRECATION") // what replaces it cannot say a part of a text
        if (sentences.isNotEmpty()) find<TextView>(R.id.answer).announceForAccessibility(sentences)
    }

    private fun keepScreenOn(isOn: Boolean) {
        val flag = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON
        if (isOn) window.addFlags(flag) else window.clearFlags(flag)
    }

    private companion object {
        const val OLD = 0.5f
    }
}
