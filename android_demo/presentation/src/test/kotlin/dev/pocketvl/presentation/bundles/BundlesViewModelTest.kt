package dev.pocketvl.presentation.bundles

import dev.pocketvl.BundleException
import dev.pocketvl.presentation.FakeSource
import dev.pocketvl.presentation.INT4
import dev.pocketvl.presentation.ManualDispatcher
import dev.pocketvl.presentation.ROOMY
import dev.pocketvl.presentation.SMALL
import dev.pocketvl.presentation.model.ModelHolder
import dev.pocketvl.presentation.model.ModelState
import dev.pocketvl.presentation.platform.BundleDownloader
import dev.pocketvl.presentation.platform.BundleStore
import dev.pocketvl.presentation.platform.InstalledBundle
import dev.pocketvl.presentation.platform.Transfer
import dev.pocketvl.presentation.saved.SavedChats
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.consumeAsFlow
import org.junit.jupiter.api.io.TempDir
import java.io.File
import kotlin.test.BeforeTest
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue

class BundlesViewModelTest {
    @TempDir
    lateinit var folder: File
    private val dispatcher = ManualDispatcher()
    private val scope = CoroutineScope(dispatcher + Job())
    private val source = FakeSource()
    private val holder = ModelHolder(source, { ROOMY }, scope, dispatcher)
    private val store = FakeStore()
    private var asked = ""
    private lateinit var view: BundlesViewModel
    private val state: BundlesState get() = view.state.value

    private class FakeStore : BundleStore {
        val bundles = mutableListOf(INT4)
        val transfers = Channel<Transfer>(Channel.UNLIMITED)
        var failure: BundleException? = null
        override val pushFolder = File("/push")

        override fun list(): List<InstalledBundle> = bundles.toList()

        override fun freeBytes(): Long = 10_000_000_000

        override fun delete(bundle: InstalledBundle) {
            failure?.let { throw it }
            bundles -= bundle
        }

        override fun copy(treeUri: String): Flow<Transfer> = transfers.consumeAsFlow()
    }

    @BeforeTest
    fun start() {
        view = make(BundleDownloader { url -> store.transfers.consumeAsFlow().also { asked = url } })
    }

    private fun make(downloader: BundleDownloader?) =
        BundlesViewModel(store, downloader, source, SavedChats(folder), holder, scope, dispatcher)

    private fun run(action: BundlesViewModel.() -> Unit) {
        view.action()
        dispatcher.run()
    }

    @Test
    fun `what is there is listed with the space that is left`() {
        run { refresh() }
        assertEquals(listOf(INT4), state.bundles)
        assertEquals(10_000_000_000, state.freeBytes)
        assertEquals("/push", state.pushFolder)
    }

    @Test
    fun `a bundle is chosen once`() {
        run { choose(INT4) }
        run { choose(INT4) }
        assertEquals(INT4, state.chosen)
        assertEquals(listOf("verify int4", "load int4"), source.log)
    }

    @Test
    fun `a bundle is found again by its path`() {
        run { choosePath("/bundles/other") }
        assertEquals(ModelState.NotChosen, holder.state.value)
        run { choosePath("/bundles/int4") }
        assertEquals(ModelState.Ready(INT4), holder.state.value)
    }

    @Test
    fun `a folder is copied with progress, and listed`() {
        run { copy("content://tree") }
        store.transfers.trySend(Transfer(5, 10))
        dispatcher.run()
        assertEquals(Work.Copying(Transfer(5, 10)), state.work)
        store.bundles += SMALL
        store.transfers.close()
        dispatcher.run()
        assertNull(state.work)
        assertEquals(listOf(INT4, SMALL), state.bundles)
    }

    @Test
    fun `one thing is done at a time`() {
        run { copy("content://tree") }
        run { check(INT4) }
        run { delete(INT4) }
        assertEquals(emptyList(), source.log)
        assertEquals(listOf(INT4), store.bundles)
    }

    @Test
    fun `a download fails with its sentence`() {
        run { download(" https://example.org/int4/ ") }
        assertEquals("https://example.org/int4/", asked)
        store.transfers.trySend(Transfer(7, null))
        dispatcher.run()
        assertEquals(Work.Downloading(Transfer(7, null)), state.work)
        store.transfers.close(BundleException("The connection broke off; try again, it goes on from there."))
        dispatcher.run()
        assertEquals("The connection broke off; try again, it goes on from there.", state.message)
        assertNull(state.work)
        run { messageShown() }
        assertNull(state.message)
    }

    @Test
    fun `the flavour without the network downloads nothing`() {
        view = make(null)
        run { download("https://example.org") }
        assertFalse(state.canDownload)
        assertNull(state.work)
    }

    @Test
    fun `cancelling ends the copy`() {
        run { copy("content://tree") }
        run { cancel() }
        assertNull(state.work)
        assertNull(state.message)
        assertTrue(store.transfers.trySend(Transfer(1, 2)).isFailure)
    }

    @Test
    fun `all hashes are compared on request`() {
        source.duringVerify = { progress ->
            progress(3, 9)
            assertEquals(Work.Checking(INT4, 3, 9), state.work)
        }
        run { check(INT4) }
        assertEquals(listOf("verify int4 whole"), source.log)
        assertContains(state.sound, "/bundles/int4")
        source.duringVerify = { throw BundleException("vision_encoder.pte has another hash; copy it again.") }
        run { check(INT4) }
        assertEquals("vision_encoder.pte has another hash; copy it again.", state.message)
        assertFalse("/bundles/int4" in state.sound)
    }

    @Test
    fun `a loaded bundle is closed before it is deleted, its chat too`() {
        run { choose(INT4) }
        SavedChats(folder).save(INT4, emptyList()) { it.writeText("chat") }
        run { delete(INT4) }
        assertEquals("close", source.log.last())
        assertEquals(emptyList(), state.bundles)
        assertNull(state.chosen)
        assertEquals(emptyList(), folder.list().orEmpty().toList())
    }

    @Test
    fun `a bundle that cannot be deleted stays`() {
        store.failure = BundleException("The folder cannot be deleted; use a file manager.")
        run { delete(INT4) }
        assertEquals("The folder cannot be deleted; use a file manager.", state.message)
        assertNull(state.work)
    }
}
