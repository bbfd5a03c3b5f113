package dev.pocketvl.app

import android.Manifest
import android.app.Activity
import android.app.AlertDialog
import android.content.ActivityNotFoundException
import android.content.Intent
import android.content.pm.PackageManager
import android.net.Uri
import android.os.Bundle
import android.provider.MediaStore
import android.view.LayoutInflater
import android.view.Menu
import android.view.MenuItem
import android.view.View
import android.widget.Button
import android.widget.EditText
import android.widget.ImageButton
import android.widget.ImageView
import android.widget.LinearLayout
import android.widget.ProgressBar
import android.widget.ScrollView
import android.widget.TextView
import dev.pocketvl.presentation.chat.ChatState
import dev.pocketvl.presentation.chat.Outcome
import dev.pocketvl.presentation.model.ModelState
import dev.pocketvl.presentation.saved.SavedState
import dev.pocketvl.presentation.text.SpokenText
import kotlinx.coroutines.CoroutineScope

/** The chat. */
class MainActivity : ScreenActivity() {
    private val chat get() = app.chat
    private val texts by lazy { Texts(this, numbers) }
    private val thumbnails by lazy { Thumbnails(app.photos::source, created) }
    private val turnViews = ArrayList<TurnView>()
    private val spoken = SpokenText()
    private var photo: Uri? = null // that the camera's app is writing
    private lateinit var turns: LinearLayout
    private lateinit var scroll: ScrollView
    private lateinit var draft: EditText
    private lateinit var attachments: LinearLayout

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setScreen(R.layout.activity_chat, isFirst = true)
        turns = find(R.id.turns)
        scroll = find(R.id.scroll)
        draft = find(R.id.draft)
        attachments = find(R.id.attachments)
        photo = savedInstanceState?.getString(PHOTO)?.let(Uri::parse)
        begin(SavedState.read(savedInstanceState?.getString(STATE)))
        draft.setText(chat.state.value.draft.text)
        draft.addTextChangedListener(AfterTyping { chat.type(it) })
        onClick(R.id.attach, ::pickImages)
        onClick(R.id.camera, ::takePhoto)
        onClick(R.id.send) { if (chat.state.value.canStop) chat.stop() else chat.send() }
        onClick(R.id.regenerate, chat::regenerate)
        onClick(R.id.edit, chat::editLast)
        onClick(R.id.drop_edit, chat::dropEdit)
        onClick(R.id.load_anyway, app.holder::loadAnyway)
        onClick(R.id.choose_bundle) { open(BundlesActivity::class.java) }
    }

    /** Only in a process that is new: in an old one all is as it was. */
    private fun begin(state: SavedState) {
        if (app.isBegun) return
        app.isBegun = true
        chat.restore(state)
        (state.bundle ?: app.lastBundle)?.let(app.bundles::choosePath)
    }

    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        outState.putString(STATE, chat.savedState().write())
        outState.putString(PHOTO, photo?.toString())
    }

    override fun render(scope: CoroutineScope) = scope.show(chat.state, ::render)

    private fun render(state: ChatState) {
        renderModel(state.model)
        renderTurns(state)
        renderDraft(state)
        state.notice?.let {
            tell(it)
            chat.noticeShown()
        }
    }

    private fun renderModel(model: ModelState) {
        find<TextView>(R.id.model).text = texts.model(model)
        val progress = find<ProgressBar>(R.id.progress)
        progress.isPresent = model is ModelState.Verifying || model is ModelState.Loading
        progress.isIndeterminate = model !is ModelState.Verifying
        if (model is ModelState.Verifying) progress.progress = numbers.percent(model.done, model.total)
        find<Button>(R.id.load_anyway).isPresent = model is ModelState.LowMemory
        find<Button>(R.id.choose_bundle).isPresent =
            model is ModelState.NotChosen || model is ModelState.Failed || model is ModelState.LowMemory
    }

    private fun renderTurns(state: ChatState) {
        val isAtEnd = !scroll.canScrollVertically(1)
        while (turnViews.size > state.turns.size) turns.removeView(turnViews.removeAt(turnViews.lastIndex).view)
        for (index in state.turns.indices) {
            if (index == turnViews.size) {
                turnViews += TurnView(this, turns, thumbnails, texts, numbers).also { turns.addView(it.view) }
            }
            turnViews[index].render(state, index)
        }
        if (isAtEnd) scroll.post { scroll.fullScroll(View.FOCUS_DOWN) }
        speak(state)
        find<View>(R.id.empty).isPresent = state.turns.isEmpty()
        find<Button>(R.id.regenerate).apply {
            isPresent = state.canRegenerate
            setText(
                if (state.turns.lastOrNull()?.outcome is Outcome.Failed) R.string.try_again else R.string.regenerate,
            )
        }
        find<View>(R.id.edit).isPresent = state.canEdit
    }

    /** TalkBack reads sentence by sentence; the live region would begin anew with each piece. */
    private fun speak(state: ChatState) {
        val last = state.turns.lastOrNull() ?: return
        val sentences = spoken.next(last.answer, isDone = last.outcome !is Outcome.Answering)
        @Suppress("DEPRECATION") // what replaces it cannot say a part of a text
        if (sentences.isNotEmpty()) scroll.announceForAccessibility(sentences)
    }

    private fun renderDraft(state: ChatState) {
        if (draft.text.toString() != state.draft.text) {
            draft.setText(state.draft.text)
            draft.setSelection(draft.length())
        }
        find<View>(R.id.editing).isPresent = state.draft.isEdit
        find<ImageButton>(R.id.send).apply {
            isEnabled = state.canStop || state.canSend
            alpha = if (isEnabled) 1f else DISABLED
            setImageResource(if (state.canStop) R.drawable.ic_stop else R.drawable.ic_send)
            contentDescription = getString(if (state.canStop) R.string.stop else R.string.send)
        }
        val shown = (0 until attachments.childCount).map { attachments.getChildAt(it).tag }
        if (shown == state.draft.photos.map { it.uri }) return
        attachments.removeAllViews()
        for (photo in state.draft.photos) {
            val item = LayoutInflater.from(this).inflate(R.layout.attachment, attachments, false)
            item.tag = photo.uri
            val image = item.findViewById(R.id.image) as ImageView
            image.contentDescription = getString(R.string.photo_named, photo.name)
            thumbnails.load(photo, image)
            val remove = item.findViewById(R.id.remove) as ImageButton
            remove.contentDescription = getString(R.string.remove_photo, photo.name)
            remove.setOnClickListener { chat.detach(photo.uri) }
            attachments.addView(item)
        }
        (attachments.parent as View).isPresent = state.draft.photos.isNotEmpty()
    }

    override fun onCreateOptionsMenu(menu: Menu): Boolean {
        menuInflater.inflate(R.menu.chat, menu)
        return true
    }

    override fun onOptionsItemSelected(item: MenuItem): Boolean {
        when (item.itemId) {
            R.id.new_chat -> confirmNewChat()
            R.id.bundles -> open(BundlesActivity::class.java)
            R.id.live -> open(LiveActivity::class.java)
            R.id.benchmark -> open(BenchmarkActivity::class.java)
            else -> return super.onOptionsItemSelected(item)
        }
        return true
    }

    private fun confirmNewChat() {
        AlertDialog
            .Builder(this)
            .setMessage(R.string.new_chat_question)
            .setPositiveButton(R.string.new_chat) { _, _ -> chat.startAnew() }
            .setNegativeButton(android.R.string.cancel, null)
            .show()
    }

    private fun open(screen: Class<out Activity>) = startActivity(Intent(this, screen))

    /** Documents' Uris can be kept over a restart, other than those of the photo picker. */
    private fun pickImages() {
        val intent =
            Intent(Intent.ACTION_OPEN_DOCUMENT)
                .addCategory(Intent.CATEGORY_OPENABLE)
                .setType("image/*")
                .putExtra(Intent.EXTRA_ALLOW_MULTIPLE, true)
        startFor(intent, PICK)
    }

    /** An app that has the permission in its manifest may call the camera's app only when it is granted. */
    private fun takePhoto() {
        if (checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) {
            requestPermissions(arrayOf(Manifest.permission.CAMERA), TAKE)
            return
        }
        val uri = TakenPhotos.next(this)
        photo = uri
        val flags = Intent.FLAG_GRANT_WRITE_URI_PERMISSION or Intent.FLAG_GRANT_READ_URI_PERMISSION
        val intent = Intent(MediaStore.ACTION_IMAGE_CAPTURE).putExtra(MediaStore.EXTRA_OUTPUT, uri).addFlags(flags)
        intent.clipData = android.content.ClipData.newRawUri(null, uri) // which the flags are for
        startFor(intent, TAKE)
    }

    private fun startFor(intent: Intent, request: Int) {
        try {
            startActivityForResult(intent, request)
        } catch (_: ActivityNotFoundException) {
            tell(getString(R.string.no_app))
        }
    }

    override fun onRequestPermissionsResult(requestCode: Int, permissions: Array<out String>, grantResults: IntArray) {
        if (grantResults.firstOrNull() == PackageManager.PERMISSION_GRANTED) {
            takePhoto()
        } else {
            tell(getString(R.string.camera_denied))
        }
    }

    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        if (resultCode != RESULT_OK) return
        if (requestCode == TAKE) {
            photo?.let { chat.attach(listOf(it.toString())) }
            photo = null
            return
        }
        val clip = data?.clipData
        val uris = clip?.let { all -> List(all.itemCount) { all.getItemAt(it).uri } } ?: listOfNotNull(data?.data)
        for (uri in uris) keepAccess(uri)
        chat.attach(uris.map { it.toString() })
    }

    /** So that the chat can be shown after a restart; where the provider does not allow it, it is read while it can be. */
    private fun keepAccess(uri: Uri) {
        try {
            contentResolver.takePersistableUriPermission(uri, Intent.FLAG_GRANT_READ_URI_PERMISSION)
        } catch (_: SecurityException) {
        }
    }

    private companion object {
        const val STATE = "state"
        const val PHOTO = "photo"
        const val PICK = 1
        const val TAKE = 2
        const val DISABLED = 0.4f
    }
}
