package dev.pocketvl.app

import android.content.Context
import dev.pocketvl.decoding.StopReason
import dev.pocketvl.presentation.benchmark.Stage
import dev.pocketvl.presentation.bundles.Work
import dev.pocketvl.presentation.live.LivePhase
import dev.pocketvl.presentation.model.ModelState
import dev.pocketvl.presentation.platform.Transfer
import dev.pocketvl.presentation.policy.MemoryVerdict
import dev.pocketvl.presentation.policy.Warmth
import dev.pocketvl.presentation.text.Fact
import dev.pocketvl.presentation.text.Numbers

/** States in the user's language. */
internal class Texts(private val context: Context, private val numbers: Numbers) {
    fun model(state: ModelState): String =
        when (state) {
            ModelState.NotChosen -> {
                text(R.string.model_not_chosen)
            }

            is ModelState.Verifying -> {
                text(R.string.model_verifying, state.bundle.name, numbers.percent(state.done, state.total))
            }

            is ModelState.LowMemory -> {
                lowMemory(state)
            }

            is ModelState.Loading -> {
                text(R.string.model_loading, state.bundle.name)
            }

            is ModelState.Ready -> {
                text(R.string.model_ready, state.bundle.name)
            }

            is ModelState.Failed -> {
                state.message
            }
        }

    fun facts(line: List<Pair<Fact, String>>): String =
        line.joinToString(" · ") { (fact, value) -> text(resource(fact), value) }

    /** Null for the ordinary end, of which nothing has to be said. */
    fun end(reason: StopReason): String? =
        when (reason) {
            StopReason.STOP, StopReason.TOOL_CALLS -> null
            StopReason.LENGTH -> text(R.string.end_length)
            StopReason.CONTEXT -> text(R.string.end_context)
            StopReason.CANCELLED -> text(R.string.end_cancelled)
            StopReason.REPETITION -> text(R.string.end_repetition)
        }

    fun phase(phase: LivePhase): String =
        text(
            when (phase) {
                LivePhase.OFF -> R.string.phase_off
                LivePhase.WAITING -> R.string.phase_waiting
                LivePhase.MOVING -> R.string.phase_moving
                LivePhase.SAME -> R.string.phase_same
                LivePhase.RESTING -> R.string.phase_resting
                LivePhase.ANSWERING -> R.string.phase_answering
                LivePhase.TOO_HOT -> R.string.phase_too_hot
            },
        )

    /** Null while the phone is cool. */
    fun warmth(warmth: Warmth): String? =
        when (warmth) {
            Warmth.COOL -> null
            Warmth.WARM -> text(R.string.warmth_warm)
            Warmth.HOT -> text(R.string.warmth_hot)
            Warmth.VERY_HOT, Warmth.TOO_HOT -> text(R.string.warmth_very_hot)
        }

    fun stage(stage: Stage): String =
        text(
            when (stage) {
                Stage.VISION -> R.string.stage_vision
                Stage.PREFILL -> R.string.stage_prefill
                Stage.DECODE -> R.string.stage_decode
            },
        )

    fun work(work: Work): String =
        when (work) {
            is Work.Copying -> {
                text(R.string.work_copying, transfer(work.transfer))
            }

            is Work.Downloading -> {
                text(R.string.work_downloading, transfer(work.transfer))
            }

            is Work.Checking -> {
                text(R.string.work_checking, work.bundle.name, numbers.percent(work.done, work.total))
            }

            is Work.Deleting -> {
                text(R.string.work_deleting, work.bundle.name)
            }
        }

    private fun transfer(transfer: Transfer): String {
        val done = numbers.megabytes(transfer.done)
        return transfer.total?.let { text(R.string.transfer_of, done, numbers.megabytes(it)) }
            ?: text(R.string.transfer, done)
    }

    private fun lowMemory(state: ModelState.LowMemory): String {
        val need = numbers.gigabytes(state.need.total)
        val memory = state.memory
        return if (state.verdict == MemoryVerdict.TOO_LARGE) {
            text(R.string.model_too_large, state.bundle.name, need, numbers.gigabytes(memory.total))
        } else {
            text(R.string.model_tight, state.bundle.name, need, numbers.gigabytes(memory.available))
        }
    }

    private fun resource(fact: Fact): Int =
        when (fact) {
            Fact.VISION -> R.string.fact_vision
            Fact.FIRST_TOKEN -> R.string.fact_first_token
            Fact.PREFILL -> R.string.fact_prefill
            Fact.DECODE -> R.string.fact_decode
            Fact.TOKENS -> R.string.fact_tokens
            Fact.REUSED -> R.string.fact_reused
            Fact.MEMORY -> R.string.fact_memory
            Fact.TEMPERATURE -> R.string.fact_temperature
        }

    private fun text(id: Int, vararg values: Any): String = context.getString(id, *values)
}
