package dev.pocketvl.app

import android.content.Intent
import android.os.Bundle
import android.widget.Button
import android.widget.ProgressBar
import android.widget.TableLayout
import android.widget.TableRow
import android.widget.TextView
import dev.pocketvl.presentation.benchmark.BenchmarkReport
import dev.pocketvl.presentation.benchmark.BenchmarkState
import kotlinx.coroutines.CoroutineScope
import java.io.IOException

/** Times the loaded bundle, shows a table, and shares it as JSON where the user wants to. */
class BenchmarkActivity : ScreenActivity() {
    private val benchmark get() = app.benchmark
    private val texts by lazy { Texts(this, numbers) }
    private var shown: BenchmarkReport? = null

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setScreen(R.layout.activity_benchmark)
        onClick(R.id.start) { if (benchmark.state.value.isRunning) benchmark.cancel() else benchmark.start() }
        onClick(R.id.share, ::share)
        onClick(R.id.save, ::save)
    }

    override fun render(scope: CoroutineScope) = scope.show(benchmark.state, ::render)

    private fun render(state: BenchmarkState) {
        val step = state.step
        find<Button>(R.id.start).apply {
            setText(if (state.isRunning) R.string.stop else R.string.start)
            isEnabled = state.isRunning || state.canStart
        }
        find<ProgressBar>(R.id.progress).apply {
            isPresent = step != null
            if (step != null) progress = numbers.percent(step.done.toLong(), step.total.toLong())
        }
        find<TextView>(R.id.status).text =
            when {
                step != null -> texts.stage(step.stage)
                state.message != null -> state.message
                !state.isReady -> getString(R.string.benchmark_needs_bundle)
                else -> getString(R.string.benchmark_hint)
            }
        find<Button>(R.id.share).isEnabled = state.canShare
        find<Button>(R.id.save).isEnabled = state.canShare
        val report = state.report
        if (report != null && report != shown) showTable(report)
    }

    private fun showTable(report: BenchmarkReport) {
        shown = report
        val table = find<TableLayout>(R.id.table)
        table.removeAllViews()
        val timings = report.timings

        fun seconds(value: Double) = getString(R.string.seconds, numbers.significant(value))

        fun rate(value: Double) = getString(R.string.tokens_per_second, numbers.significant(value))
        row(table, getString(R.string.row_bundle), "${report.manifest.recipe}, ${report.manifest.target}")
        row(table, getString(R.string.row_load_vision), seconds(timings.visionLoad))
        row(table, getString(R.string.row_load_decoder), seconds(timings.decoderLoad))
        for (image in timings.vision) {
            row(table, getString(R.string.row_vision, numbers.whole(image.patches.toLong())), seconds(image.best))
        }
        row(
            table,
            getString(R.string.row_prefill, numbers.whole(timings.prefill.tokens.toLong())),
            rate(timings.prefill.rate),
        )
        row(table, getString(R.string.row_decode), rate(timings.decode.rate))
        row(
            table,
            getString(R.string.row_memory),
            getString(R.string.megabytes, numbers.megabytes(report.after.memory.process)),
        )
        val celsius = report.after.thermal.celsius
        if (celsius != null) {
            val value = getString(R.string.celsius, numbers.decimal(celsius.toDouble(), 1))
            row(table, getString(R.string.row_temperature), value)
        }
    }

    private fun row(table: TableLayout, name: String, value: String) {
        val row = layoutInflater.inflate(R.layout.benchmark_row, table, false) as TableRow
        (row.findViewById(R.id.name) as TextView).text = name
        (row.findViewById(R.id.value) as TextView).text = value
        table.addView(row)
    }

    private fun share() {
        val report = benchmark.state.value.report ?: return
        val send = Intent(Intent.ACTION_SEND).setType("text/plain").putExtra(Intent.EXTRA_TEXT, report.json())
        startActivity(Intent.createChooser(send, getString(R.string.share)))
    }

    private fun save() {
        val create =
            Intent(Intent.ACTION_CREATE_DOCUMENT)
                .addCategory(Intent.CATEGORY_OPENABLE)
                .setType("application/json")
                .putExtra(Intent.EXTRA_TITLE, "pocketvl-benchmark.json")
        try {
            startActivityForResult(create, 0)
        } catch (_: android.content.ActivityNotFoundException) {
            tell(getString(R.string.no_app))
        }
    }

    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        val uri = data?.data
        val report = benchmark.state.value.report
        if (resultCode != RESULT_OK || uri == null || report == null) return
        try {
            val stream = contentResolver.openOutputStream(uri) ?: throw IOException(uri.toString())
            stream.use { it.write(report.json().toByteArray()) }
        } catch (error: IOException) {
            tell(getString(R.string.not_saved, error.message.orEmpty()))
        } catch (error: SecurityException) {
            tell(getString(R.string.not_saved, error.message.orEmpty()))
        }
    }
}
