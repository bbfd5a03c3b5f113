package dev.pocketvl.presentation.model

import dev.pocketvl.presentation.platform.InstalledBundle
import dev.pocketvl.presentation.platform.Memory
import dev.pocketvl.presentation.policy.MemoryNeed
import dev.pocketvl.presentation.policy.MemoryVerdict

/** From no bundle to one that answers. */
sealed interface ModelState {
    data object NotChosen : ModelState

    /** [done] of [total] bytes are hashed. */
    data class Verifying(val bundle: InstalledBundle, val done: Long, val total: Long) : ModelState

    /** Waits for [ModelHolder.loadAnyway] or another choice. */
    data class LowMemory(
        val bundle: InstalledBundle,
        val need: MemoryNeed,
        val memory: Memory,
        val verdict: MemoryVerdict,
    ) : ModelState

    data class Loading(val bundle: InstalledBundle) : ModelState

    data class Ready(val bundle: InstalledBundle) : ModelState

    /** [message] is a sentence for the user. */
    data class Failed(val bundle: InstalledBundle, val message: String) : ModelState
}

/** The bundle that a state is about. */
val ModelState.bundle: InstalledBundle?
    get() =
        when (this) {
            ModelState.NotChosen -> null
            is ModelState.Verifying -> bundle
            is ModelState.LowMemory -> bundle
            is ModelState.Loading -> bundle
            is ModelState.Ready -> bundle
            is ModelState.Failed -> bundle
        }
