package dev.pocketvl.app

import android.app.Application
import android.content.Context
import android.os.SystemClock
import dev.pocketvl.app.platform.AndroidBundles
import dev.pocketvl.app.platform.AndroidMemory
import dev.pocketvl.app.platform.AndroidThermal
import dev.pocketvl.app.platform.BackCamera
import dev.pocketvl.app.platform.ContentPhotos
import dev.pocketvl.app.platform.bundleDownloader
import dev.pocketvl.app.platform.thisDevice
import dev.pocketvl.engines.Engines
import dev.pocketvl.presentation.benchmark.BenchmarkPhone
import dev.pocketvl.presentation.benchmark.BenchmarkViewModel
import dev.pocketvl.presentation.bundles.BundlesViewModel
import dev.pocketvl.presentation.chat.ChatPhone
import dev.pocketvl.presentation.chat.ChatViewModel
import dev.pocketvl.presentation.live.LiveViewModel
import dev.pocketvl.presentation.model.CoreModels
import dev.pocketvl.presentation.model.ModelHolder
import dev.pocketvl.presentation.model.ModelState
import dev.pocketvl.presentation.model.PaceKeeper
import dev.pocketvl.presentation.saved.SavedChats
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import java.io.File

/** Owns the model and the screens' state, which outlive the activities: turning the phone interrupts nothing. */
class PocketVLApp : Application() {
    private val scope = CoroutineScope(SupervisorJob() + MainThread)
    private val io = Dispatchers.IO
    private val memory by lazy { AndroidMemory(this) }
    private val thermal by lazy { AndroidThermal(this) }
    private val source by lazy {
        CoreModels(Engines::forTarget, photos::source, File(noBackupFilesDir, "stamps"))
    }
    private val saved by lazy { SavedChats(File(noBackupFilesDir, "chats")) }
    private val visible = VisibleActivities(::becameVisible, ::becameHidden)
    private var pacing: Job? = null

    val photos by lazy { ContentPhotos(contentResolver) }
    val holder by lazy { ModelHolder(source, memory, scope, io) }
    val pace by lazy {
        PaceKeeper(
            thermal,
            holder,
            Runtime.getRuntime().availableProcessors(),
            io,
            SystemClock::elapsedRealtime,
        ) { delay(it) }
    }
    val chat by lazy { ChatViewModel(holder, ChatPhone(photos, memory, thermal), saved, scope, io) }
    val live by lazy {
        val camera = BackCamera(this, preview = { null }, displayRotation = ::displayRotation)
        LiveViewModel(holder, camera, pace.pace, scope, io, SystemClock::elapsedRealtime)
    }
    val benchmark by lazy {
        val phone = BenchmarkPhone(thisDevice(memory.read().total), memory, thermal)
        BenchmarkViewModel(holder, phone, scope, io, System::nanoTime)
    }
    val bundles by lazy {
        val store = AndroidBundles(this)
        BundlesViewModel(store, bundleDownloader(store), source, saved, holder, scope, io)
    }

    /** Whether the first screen of this process has been opened. */
    var isBegun = false

    override fun onCreate() {
        super.onCreate()
        registerActivityLifecycleCallbacks(visible)
        chat // hears of all models from the first one on
        live
        scope.launch { holder.state.collect { if (it is ModelState.Ready) lastBundle = it.bundle.folder.path } }
    }

    override fun onTrimMemory(level: Int) {
        super.onTrimMemory(level)
        holder.trim(level)
    }

    /** Path of the bundle that was ready last, to be loaded when the app starts again; null before the first. */
    var lastBundle: String?
        get() = getSharedPreferences(PREFERENCES, Context.MODE_PRIVATE).getString(LAST_BUNDLE, null)
        private set(value) {
            getSharedPreferences(PREFERENCES, Context.MODE_PRIVATE).edit().putString(LAST_BUNDLE, value).apply()
        }

    private fun becameVisible() {
        pacing = scope.launch { pace.run() }
    }

    /** The process may be ended from here on without a further word. */
    private fun becameHidden() {
        pacing?.cancel()
        live.stop()
        chat.save()
    }

    private fun displayRotation(): Int {
        val windows = getSystemService(Context.WINDOW_SERVICE) as android.view.WindowManager
        @Suppress("DEPRECATION") // Context.getDisplay is newer than minSdk, and not for an application
        return windows.defaultDisplay.rotation
    }

    private companion object {
        const val PREFERENCES = "app"
        const val LAST_BUNDLE = "bundle"
    }
}
