package dev.pocketvl

import dev.pocketvl.bundle.openBundle
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.withContext
import java.io.File

/**
 * The front door: a bundle's folder in, conversations out.
 *
 *     PocketVL.load(folder, Engines.forTarget).use { model ->
 *         val parts = listOf(ImagePart(photo), TextPart("What is this?"))
 *         model.chat().ask(parts).collect { if (it is Event.Text) print(it.piece) }
 *     }
 */
object PocketVL {
    /**
     * Opens the bundle that `pocketvl export` wrote into [folder]. Nothing is downloaded; graphs are loaded when
     * first needed.
     *
     * Blocks: seconds where hashes are computed, so not for a main thread; see [awaitLoad]. Throws
     * [BundleException], [PromptException] for a template that cannot be used, [EngineException].
     */
    @JvmStatic
    @JvmOverloads
    @Throws(PocketVLException::class)
    fun load(folder: File, engines: EngineFactory, options: LoadOptions = LoadOptions()): Model {
        val bundle =
            openBundle(folder, options.verify, options.stamps) { bytesHashed, bytes ->
                options.onProgress?.onProgress(bytesHashed, bytes)
            }
        return Model(bundle, engines.open(bundle, options.threads))
    }

    /**
     * As [load], on [dispatcher]. Whoever cancels it waits until the file that is being read is let go; a model that
     * was loaded in vain is closed.
     */
    suspend fun awaitLoad(
        folder: File,
        engines: EngineFactory,
        options: LoadOptions = LoadOptions(),
        dispatcher: CoroutineDispatcher = Dispatchers.IO,
    ): Model {
        var loaded: Model? = null
        try {
            withContext(dispatcher) {
                coroutineScope {
                    val stoppable =
                        options.withProgress { bytesHashed, bytes ->
                            ensureActive()
                            options.onProgress?.onProgress(bytesHashed, bytes)
                        }
                    loaded = load(folder, engines, stoppable)
                }
            }
        } catch (error: Throwable) {
            // cancelled, also between the end of load and here
            loaded?.close()
            throw error
        }
        return checkNotNull(loaded)
    }
}
