package dev.pocketvl.app

import android.app.AlertDialog
import android.content.ActivityNotFoundException
import android.content.Intent
import android.os.Bundle
import android.view.View
import android.widget.Button
import android.widget.EditText
import android.widget.LinearLayout
import android.widget.ProgressBar
import android.widget.TextView
import dev.pocketvl.presentation.bundles.BundlesState
import dev.pocketvl.presentation.bundles.Work
import dev.pocketvl.presentation.platform.BundlePlace
import dev.pocketvl.presentation.platform.InstalledBundle
import kotlinx.coroutines.CoroutineScope

/** The bundles on this phone: choose, check, delete, and get more. */
class BundlesActivity : ScreenActivity() {
    private val bundles get() = app.bundles
    private val texts by lazy { Texts(this, numbers) }
    private var listed: BundlesState? = null

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setScreen(R.layout.activity_bundles)
        onClick(R.id.choose_folder, ::chooseFolder)
        onClick(R.id.download) { bundles.download(find<EditText>(R.id.url).text.toString()) }
        onClick(R.id.cancel, bundles::cancel)
    }

    override fun onStart() {
        super.onStart()
        bundles.refresh()
    }

    override fun render(scope: CoroutineScope) = scope.show(bundles.state, ::render)

    private fun render(state: BundlesState) {
        val work = state.work
        find<View>(R.id.working).isPresent = work != null
        if (work != null) showWork(work)
        find<Button>(R.id.choose_folder).isEnabled = work == null
        find<Button>(R.id.download).isEnabled = work == null
        find<View>(R.id.downloading).isPresent = state.canDownload
        val free = state.freeBytes
        find<TextView>(R.id.space).text =
            if (free == null) "" else getString(R.string.free_space, numbers.gigabytes(free))
        find<TextView>(R.id.push).text = state.pushFolder?.let { getString(R.string.push_folder, it) }.orEmpty()
        list(state)
        state.message?.let {
            tell(it)
            bundles.messageShown()
        }
    }

    private fun showWork(work: Work) {
        find<TextView>(R.id.work).text = texts.work(work)
        val (done, total) =
            when (work) {
                is Work.Copying -> Pair(work.transfer.done, work.transfer.total)
                is Work.Downloading -> Pair(work.transfer.done, work.transfer.total)
                is Work.Checking -> Pair(work.done, work.total)
                is Work.Deleting -> Pair(0L, null)
            }
        find<ProgressBar>(R.id.progress).apply {
            isIndeterminate = total == null
            if (total != null) progress = numbers.percent(done, total)
        }
    }

    /** The rows are made anew only when one of them changes, so that TalkBack's focus stays where it is. */
    private fun list(state: BundlesState) {
        val before = listed
        val isSame =
            before != null && before.bundles == state.bundles && before.chosen == state.chosen &&
                before.sound == state.sound && (before.work == null) == (state.work == null)
        if (isSame) return
        listed = state
        val rows = find<LinearLayout>(R.id.bundles)
        rows.removeAllViews()
        for (bundle in state.bundles) rows.addView(row(rows, bundle, state))
        find<View>(R.id.empty).isPresent = state.bundles.isEmpty()
    }

    private fun row(parent: LinearLayout, bundle: InstalledBundle, state: BundlesState): View {
        val row = layoutInflater.inflate(R.layout.bundle_row, parent, false)
        val isChosen = bundle == state.chosen
        (row.findViewById(R.id.name) as TextView).text = bundle.name
        val place = getString(if (bundle.place == BundlePlace.APP) R.string.place_app else R.string.place_pushed)
        val facts =
            listOfNotNull(
                getString(R.string.gigabytes, numbers.gigabytes(bundle.bytes)),
                place,
                if (bundle.folder.path in state.sound) getString(R.string.bundle_sound) else null,
                if (isChosen) getString(R.string.bundle_chosen) else null,
            )
        (row.findViewById(R.id.facts) as TextView).text = facts.joinToString(" · ")
        button(row, R.id.choose, R.string.choose_named, bundle, !isChosen) {
            bundles.choose(bundle)
            finish() // the chat shows how it gets on
        }
        button(row, R.id.check, R.string.check_named, bundle, state.work == null) { bundles.check(bundle) }
        button(row, R.id.delete, R.string.delete_named, bundle, state.work == null) { confirmDelete(bundle) }
        return row
    }

    private fun button(
        row: View,
        id: Int,
        description: Int,
        bundle: InstalledBundle,
        isEnabled: Boolean,
        action: () -> Unit,
    ) {
        val button = row.findViewById(id) as Button
        button.contentDescription = getString(description, bundle.name)
        button.isEnabled = isEnabled
        button.setOnClickListener { action() }
    }

    private fun confirmDelete(bundle: InstalledBundle) {
        AlertDialog
            .Builder(this)
            .setMessage(getString(R.string.delete_question, bundle.name, numbers.gigabytes(bundle.bytes)))
            .setPositiveButton(R.string.delete) { _, _ -> bundles.delete(bundle) }
            .setNegativeButton(android.R.string.cancel, null)
            .show()
    }

    private fun chooseFolder() {
        try {
            startActivityForResult(Intent(Intent.ACTION_OPEN_DOCUMENT_TREE), 0)
        } catch (_: ActivityNotFoundException) {
            tell(getString(R.string.no_app))
        }
    }

    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        val uri = data?.data
        if (resultCode == RESULT_OK && uri != null) bundles.copy(uri.toString())
    }
}
