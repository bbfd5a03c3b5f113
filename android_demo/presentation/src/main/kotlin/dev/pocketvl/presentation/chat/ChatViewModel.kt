package dev.pocketvl.presentation.chat

import dev.pocketvl.PocketVLException
import dev.pocketvl.presentation.model.AnswerEvent
import dev.pocketvl.presentation.model.LoadedModel
import dev.pocketvl.presentation.model.ModelChat
import dev.pocketvl.presentation.model.ModelHolder
import dev.pocketvl.presentation.model.ModelUser
import dev.pocketvl.presentation.model.Question
import dev.pocketvl.presentation.model.bundle
import dev.pocketvl.presentation.platform.InstalledBundle
import dev.pocketvl.presentation.platform.MemoryReader
import dev.pocketvl.presentation.platform.PhotoReader
import dev.pocketvl.presentation.platform.ThermalReader
import dev.pocketvl.presentation.saved.SavedChats
import dev.pocketvl.presentation.saved.SavedState
import dev.pocketvl.presentation.text.errorText
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/** What the phone tells the chat screen. */
class ChatPhone(val photos: PhotoReader, val memory: MemoryReader, val thermal: ThermalReader)

/**
 * The chat screen: what the user does comes in by the methods, what is shown goes out by [state].
 *
 * Lives as long as the app's process, so that an answer goes on while the phone is turned. [scope] runs on one
 * thread, from which all methods are called; blocking work is done on [io].
 */
class ChatViewModel(
    private val holder: ModelHolder,
    private val phone: ChatPhone,
    private val saved: SavedChats,
    private val scope: CoroutineScope,
    private val io: CoroutineDispatcher,
) : ModelUser {
    private val states = MutableStateFlow(ChatState())
    private var chat: ModelChat? = null
    private var chatBundle: InstalledBundle? = null
    private var answering: Job? = null
    private var hasBegun = false
    private var isSaved = true
    private var isSaveWanted = false // when the answer in progress is made

    val state: StateFlow<ChatState> = states.asStateFlow()

    init {
        holder.add(this)
        scope.launch { holder.state.collect { happened(ChatEvent.ModelChanged(it)) } }
    }

    fun type(text: String) = happened(ChatEvent.Typed(text))

    /** Those that cannot be read are told of and left out. */
    fun attach(uris: List<String>) {
        scope.launch {
            for (uri in uris) {
                try {
                    happened(ChatEvent.Attached(withContext(io) { phone.photos.read(uri) }))
                } catch (error: PocketVLException) {
                    happened(ChatEvent.Noticed(errorText(error)))
                }
            }
        }
    }

    fun detach(uri: String) = happened(ChatEvent.Detached(uri))

    fun send() {
        val before = states.value
        if (!before.canSend) return
        ask(Question(before.draft.text.trim(), before.draft.photos), isEdit = before.draft.isEdit)
    }

    /** The draft becomes the last question, to be sent in its place. */
    fun editLast() = happened(ChatEvent.EditBegan)

    fun dropEdit() = happened(ChatEvent.EditDropped)

    /** The last answer anew; a question that failed is asked again. */
    fun regenerate() {
        val before = states.value
        if (!before.canRegenerate) return
        val last = before.turns.last()
        when (last.outcome) {
            is Outcome.Failed -> {
                ask(last.question, isEdit = true)
            }

            is Outcome.Finished -> {
                happened(ChatEvent.Asked(last.question, isInstead = true))
                answer { it.regenerate() }
            }

            Outcome.Answering -> {}
        }
    }

    /** What was said so far stays. */
    fun stop() {
        if (hasBegun) {
            chat?.stop()
        } else {
            answering?.cancel()
            happened(ChatEvent.Withdrawn)
        }
    }

    /** Forgets the conversation. */
    fun startAnew() {
        if (states.value.isAnswering) return
        scope.launch {
            try {
                holder.use { model ->
                    chat = withContext(io) { model.chat() }
                    chatBundle?.let { bundle -> withContext(io) { saved.delete(bundle) } }
                }
                isSaved = true
                happened(ChatEvent.Restored(emptyList()))
            } catch (error: PocketVLException) {
                happened(ChatEvent.Noticed(errorText(error)))
            }
        }
    }

    fun noticeShown() = happened(ChatEvent.NoticeShown)

    /**
     * Writes the conversation to the app's files if it has changed since, after the answer in progress; for when the
     * app leaves the screen.
     */
    fun save() {
        isSaveWanted = states.value.isAnswering
        if (isSaved || isSaveWanted) return
        scope.launch {
            try {
                holder.use { saveNow() }
            } catch (_: PocketVLException) {
                // closed meanwhile, which has saved it
            }
        }
    }

    fun savedState(): SavedState {
        val now = states.value
        return SavedState(
            now.model.bundle
                ?.folder
                ?.path,
            now.draft.text,
            now.draft.photos.map { it.uri },
            now.draft.isEdit,
        )
    }

    /** After the process was ended: the draft as it was. The bundle is chosen by whoever finds it in the store. */
    fun restore(state: SavedState) {
        if (!states.value.draft.isEmpty) return
        states.update { it.copy(draft = Draft(state.draft, isEdit = state.isEdit)) }
        attach(state.photos)
    }

    override fun stopAnswer() {
        if (states.value.isAnswering) stop()
    }

    override suspend fun modelReady(model: LoadedModel, bundle: InstalledBundle) {
        val found = withContext(io) { saved.find(bundle) }
        var turns = found?.second.orEmpty()
        chat =
            withContext(io) {
                try {
                    found?.let { model.restore(it.first) }
                } catch (error: PocketVLException) {
                    // another export of the bundle, or a damaged file
                    turns = emptyList()
                    happened(ChatEvent.Noticed(errorText(error)))
                    null
                } ?: model.chat()
            }
        chatBundle = bundle
        isSaved = true
        happened(ChatEvent.Restored(turns))
    }

    override suspend fun modelClosing() {
        if (!isSaved) saveNow()
        chat = null
        chatBundle = null
        isSaved = true
        happened(ChatEvent.Restored(emptyList()))
    }

    private fun ask(question: Question, isEdit: Boolean) {
        // The last turn may have failed: then the conversation ends before it, and there is nothing to take back.
        val last =
            states.value.turns
                .lastOrNull()
                ?.outcome
        val isInstead = isEdit && (last as? Outcome.Failed)?.isInstead != false
        happened(ChatEvent.Asked(question, isInstead))
        answer { if (isInstead) it.askInstead(question) else it.ask(question) }
    }

    private fun answer(events: (ModelChat) -> Flow<AnswerEvent>) {
        hasBegun = false
        answering =
            scope.launch {
                try {
                    holder.use {
                        val current = checkNotNull(chat) { "a loaded model has a chat" }
                        hasBegun = true
                        events(current).collect { take(it) }
                    }
                } catch (cancelled: CancellationException) {
                    throw cancelled
                } catch (error: Throwable) {
                    // also OutOfMemoryError: the app goes on without this answer
                    happened(ChatEvent.AnswerFailed(errorText(error)))
                }
                if (isSaveWanted) save()
            }
    }

    private suspend fun take(event: AnswerEvent) {
        when (event) {
            is AnswerEvent.Piece -> {
                happened(ChatEvent.Said(event.text))
            }

            is AnswerEvent.Failed -> {
                happened(ChatEvent.AnswerFailed(event.message))
            }

            is AnswerEvent.Completed -> {
                val (memory, thermal) = withContext(io) { Pair(phone.memory.read(), phone.thermal.read()) }
                if (event.answer.isKept) isSaved = false
                happened(ChatEvent.Answered(event.answer, memory, thermal))
            }
        }
    }

    /** While the model is held. What fails is told: the conversation on the screen is not lost by it. */
    private suspend fun saveNow() {
        val current = chat ?: return
        val bundle = chatBundle ?: return
        val turns = states.value.turns
        try {
            withContext(io) { saved.save(bundle, turns, current::save) }
            isSaved = true
        } catch (error: PocketVLException) {
            happened(ChatEvent.Noticed(errorText(error)))
        } catch (error: java.io.IOException) {
            happened(ChatEvent.Noticed(errorText(error)))
        }
    }

    private fun happened(event: ChatEvent) = states.update { it.after(event) }
}
