package dev.pocketvl.presentation.model

import dev.pocketvl.UsageException
import dev.pocketvl.presentation.platform.InstalledBundle
import dev.pocketvl.presentation.platform.MemoryReader
import dev.pocketvl.presentation.policy.MemoryPolicy
import dev.pocketvl.presentation.policy.MemoryVerdict
import dev.pocketvl.presentation.policy.Release
import dev.pocketvl.presentation.text.errorText
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.launch
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext

/** A part of the app that keeps something of the model, and has to let go of it before the model is closed. */
interface ModelUser {
    /** Ends an answer in progress soon; does not wait. */
    fun stopAnswer()

    /** The model was loaded; called before [ModelState.Ready]. */
    suspend fun modelReady(model: LoadedModel, bundle: InstalledBundle)

    /** The model is closed after this returns. */
    suspend fun modelClosing()
}

/**
 * The app's one model, which all screens share: two would not go into a phone's memory.
 *
 * [scope] is the app's and runs on one thread; blocking work is done on [io].
 */
class ModelHolder(
    private val source: ModelSource,
    private val memory: MemoryReader,
    private val scope: CoroutineScope,
    private val io: CoroutineDispatcher,
) {
    private val states = MutableStateFlow<ModelState>(ModelState.NotChosen)
    private val users = ArrayList<ModelUser>()
    private val engine = Mutex() // held by whoever uses the model
    private var model: LoadedModel? = null
    private var threads: Int? = null
    private var loading: Job? = null
    private var anyway = CompletableDeferred<Unit>()
    private var postponed = Release.NOTHING

    val state: StateFlow<ModelState> = states.asStateFlow()

    /** [user] hears of all models loaded from now on. */
    fun add(user: ModelUser) {
        users += user
    }

    /** Verifies and loads a bundle in place of the one before. */
    fun choose(bundle: InstalledBundle): Job = replace { open(bundle) }

    /** The answer to [ModelState.LowMemory]. */
    fun loadAnyway() {
        anyway.complete(Unit)
    }

    /** Closes the model, so that its files may be deleted. */
    fun forget(): Job =
        replace {
            closeModel()
            states.value = ModelState.NotChosen
        }

    /**
     * Runs [block] when nobody else uses the model.
     *
     * Throws [UsageException] where no bundle is loaded, and what [block] throws.
     */
    suspend fun <T> use(block: suspend (LoadedModel) -> T): T =
        engine.withLock {
            val loaded = model ?: throw UsageException("No bundle is loaded; choose one first.")
            try {
                block(loaded)
            } finally {
                withContext(NonCancellable) { releasePostponed(loaded) }
            }
        }

    /**
     * Loads the same bundle with another number of threads, where it differs; null is the runtime's own choice.
     * Waits until nobody uses the model.
     */
    suspend fun useThreads(wanted: Int?) {
        if (wanted == threads) return
        threads = wanted
        if (states.value !is ModelState.Ready) return
        val reload =
            replace {
                engine.withLock {
                    val bundle = (states.value as? ModelState.Ready)?.bundle ?: return@withLock
                    reportingFailure(bundle) {
                        states.value = ModelState.Loading(bundle)
                        withContext(NonCancellable) {
                            closeClaimed()
                            loadClaimed(bundle)
                        }
                    }
                }
            }
        reload.join()
    }

    /** For ComponentCallbacks2.onTrimMemory. */
    fun trim(level: Int) {
        val wanted = MemoryPolicy.onTrimMemory(level)
        val loaded = model ?: return
        if (wanted == Release.NOTHING) return
        scope.launch {
            if (engine.tryLock()) {
                try {
                    withContext(NonCancellable + io) { loaded.release(wanted) }
                } finally {
                    engine.unlock()
                }
            } else { // what an answer is made with stays until it is made
                postponed = maxOf(postponed, wanted)
                withContext(io) { loaded.release(Release.VISION) }
            }
        }
    }

    private fun replace(block: suspend () -> Unit): Job {
        val before = loading
        return scope
            .launch {
                before?.cancelAndJoin()
                block()
            }.also { loading = it }
    }

    private suspend fun open(bundle: InstalledBundle) =
        reportingFailure(bundle) {
            states.value = ModelState.Verifying(bundle, 0, bundle.bytes)
            closeModel()
            val manifest =
                withContext(io) {
                    source.verify(bundle.folder, always = false) { done, total ->
                        ensureActive()
                        states.value = ModelState.Verifying(bundle, done, total)
                    }
                    source.inspect(bundle.folder)
                }
            val need = MemoryPolicy.need(manifest)
            val free = withContext(io) { memory.read() }
            val verdict = MemoryPolicy.verdict(need, free)
            if (verdict != MemoryVerdict.FITS) {
                anyway = CompletableDeferred()
                states.value = ModelState.LowMemory(bundle, need, free, verdict)
                anyway.await()
            }
            states.value = ModelState.Loading(bundle)
            // Not to be cancelled half-way: nobody else could close what was loaded.
            withContext(NonCancellable) { engine.withLock { loadClaimed(bundle) } }
        }

    private suspend fun loadClaimed(bundle: InstalledBundle) {
        val loaded = withContext(io) { source.load(bundle.folder, threads) }
        model = loaded
        postponed = Release.NOTHING
        for (user in users) user.modelReady(loaded, bundle)
        states.value = ModelState.Ready(bundle)
    }

    private suspend fun closeModel() {
        for (user in users) user.stopAnswer()
        withContext(NonCancellable) { engine.withLock { closeClaimed() } }
    }

    private suspend fun closeClaimed() {
        val loaded = model ?: return
        for (user in users) user.modelClosing()
        model = null
        withContext(io) { loaded.close() }
    }

    private suspend fun reportingFailure(bundle: InstalledBundle, block: suspend () -> Unit) {
        try {
            block()
        } catch (cancelled: CancellationException) {
            throw cancelled
        } catch (error: Throwable) {
            // native libraries that do not load are errors, not exceptions
            states.value = ModelState.Failed(bundle, errorText(error))
        }
    }

    private suspend fun releasePostponed(loaded: LoadedModel) {
        val wanted = postponed
        postponed = Release.NOTHING
        if (wanted != Release.NOTHING) withContext(io) { loaded.release(wanted) }
    }
}
