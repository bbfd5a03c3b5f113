package dev.pocketvl.presentation.bundles

import dev.pocketvl.presentation.model.ModelHolder
import dev.pocketvl.presentation.model.ModelSource
import dev.pocketvl.presentation.model.bundle
import dev.pocketvl.presentation.platform.BundleDownloader
import dev.pocketvl.presentation.platform.BundleStore
import dev.pocketvl.presentation.platform.InstalledBundle
import dev.pocketvl.presentation.platform.Transfer
import dev.pocketvl.presentation.saved.SavedChats
import dev.pocketvl.presentation.text.errorText
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.flowOn
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/** The bundles on this phone, and how to get more. */
class BundlesViewModel(
    private val store: BundleStore,
    /** Null in the flavour that may not use the network. */
    private val downloader: BundleDownloader?,
    private val source: ModelSource,
    private val saved: SavedChats,
    private val holder: ModelHolder,
    private val scope: CoroutineScope,
    private val io: CoroutineDispatcher,
) {
    private val states = MutableStateFlow(BundlesState(canDownload = downloader != null))
    private var working: Job? = null

    val state: StateFlow<BundlesState> = states.asStateFlow()

    init {
        scope.launch { holder.state.collect { now -> states.update { it.copy(chosen = now.bundle) } } }
    }

    /** Looks again at what is there: for when the screen comes into view. */
    fun refresh() {
        scope.launch { guarded { list() } }
    }

    fun choose(bundle: InstalledBundle) {
        if (bundle != states.value.chosen) holder.choose(bundle)
    }

    /** The bundle whose folder has this path, if it is still there: after the app was ended and started again. */
    fun choosePath(path: String) {
        scope.launch {
            guarded {
                list()
                states.value.bundles
                    .find { it.folder.path == path }
                    ?.let(::choose)
            }
        }
    }

    /** From a folder that the user chose. */
    fun copy(treeUri: String) = transfer(Work.Copying(Transfer(0, null))) { store.copy(treeUri) }

    fun download(url: String) {
        val from = downloader ?: return
        if (url.isNotBlank()) transfer(Work.Downloading(Transfer(0, null))) { from.download(url.trim()) }
    }

    /** Compares all hashes, those found equal before, too. */
    fun check(bundle: InstalledBundle) =
        work(Work.Checking(bundle, 0, bundle.bytes)) {
            states.update { it.copy(sound = it.sound - bundle.folder.path) }
            withContext(io) {
                source.verify(bundle.folder, always = true) { done, total ->
                    ensureActive()
                    states.update { it.copy(work = Work.Checking(bundle, done, total)) }
                }
            }
            states.update { it.copy(sound = it.sound + bundle.folder.path) }
        }

    /** The view has asked the user whether it is meant. */
    fun delete(bundle: InstalledBundle) =
        work(Work.Deleting(bundle)) {
            if (states.value.chosen == bundle) holder.forget().join()
            withContext(io) {
                store.delete(bundle)
                saved.delete(bundle)
            }
            list()
        }

    /** Ends what is in progress. A copy leaves nothing behind; a download goes on from there the next time. */
    fun cancel() {
        working?.cancel()
    }

    fun messageShown() = states.update { it.copy(message = null) }

    private fun transfer(begin: Work, start: () -> Flow<Transfer>) =
        work(begin) {
            start().flowOn(io).collect { done ->
                states.update {
                    it.copy(
                        work = if (begin is Work.Copying) Work.Copying(done) else Work.Downloading(done),
                    )
                }
            }
            list()
        }

    private fun work(begin: Work, block: suspend () -> Unit) {
        if (states.value.work != null) return
        states.update { it.copy(work = begin, message = null) }
        working =
            scope.launch {
                try {
                    guarded(block)
                } finally {
                    states.update { it.copy(work = null) }
                }
            }
    }

    private suspend fun list() {
        val (bundles, free) = withContext(io) { Pair(store.list(), store.freeBytes()) }
        states.update { it.copy(bundles = bundles, freeBytes = free, pushFolder = store.pushFolder?.path) }
    }

    private suspend fun guarded(block: suspend () -> Unit) {
        try {
            block()
        } catch (cancelled: CancellationException) {
            throw cancelled
        } catch (error: Exception) {
            states.update { it.copy(message = errorText(error)) }
        }
    }
}
