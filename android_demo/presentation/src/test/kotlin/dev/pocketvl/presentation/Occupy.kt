package dev.pocketvl.presentation

import dev.pocketvl.presentation.model.ModelHolder
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.launch

/** Another screen that uses the model until [gate] is completed. */
fun CoroutineScope.occupy(holder: ModelHolder, gate: CompletableDeferred<Unit>): Job =
    launch { holder.use { gate.await() } }
