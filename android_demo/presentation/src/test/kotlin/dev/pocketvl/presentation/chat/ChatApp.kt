package dev.pocketvl.presentation.chat

import dev.pocketvl.presentation.COOL
import dev.pocketvl.presentation.FakeChat
import dev.pocketvl.presentation.FakePhotos
import dev.pocketvl.presentation.FakeSource
import dev.pocketvl.presentation.INT4
import dev.pocketvl.presentation.ManualDispatcher
import dev.pocketvl.presentation.ROOMY
import dev.pocketvl.presentation.model.AnswerEvent
import dev.pocketvl.presentation.model.ModelHolder
import dev.pocketvl.presentation.platform.InstalledBundle
import dev.pocketvl.presentation.saved.SavedChats
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import java.io.File

/** One process of the app, as far as the chat goes; the files in [folder] outlive it. */
class ChatApp(folder: File) {
    private val dispatcher = ManualDispatcher()
    val source = FakeSource()
    val scope = CoroutineScope(dispatcher + Job())
    val holder = ModelHolder(source, { ROOMY }, scope, dispatcher)
    private val phone = ChatPhone(FakePhotos("cat", "dog"), { ROOMY }, { COOL })
    private val view = ChatViewModel(holder, phone, SavedChats(folder), scope, dispatcher)

    val state: ChatState get() = view.state.value
    val saved get() = view.savedState()

    /** Of the model that was loaded last. */
    val chat: FakeChat get() =
        source.models
            .last()
            .chats
            .last()

    /** What the user does, and all that follows from it. */
    fun run(action: ChatViewModel.() -> Unit = {}) {
        view.action()
        dispatcher.run()
    }

    fun begin(bundle: InstalledBundle = INT4) {
        holder.choose(bundle)
        run()
    }

    fun ask(text: String) =
        run {
            type(text)
            send()
        }

    fun say(vararg events: AnswerEvent) {
        chat.say(*events)
        run()
    }
}
