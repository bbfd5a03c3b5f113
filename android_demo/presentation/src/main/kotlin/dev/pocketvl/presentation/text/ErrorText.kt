package dev.pocketvl.presentation.text

import dev.pocketvl.PocketVLException

/**
 * What the user reads of an exception: pocketvl's own messages are sentences already. Of any other exception its
 * class comes along, since the message alone is seldom one. An out-of-memory error is told apart.
 */
fun errorText(error: Throwable): String =
    when (error) {
        is PocketVLException -> error.message ?: error.javaClass.simpleName
        is OutOfMemoryError -> "The phone's memory ran out; close other apps or choose a smaller bundle."
        else -> listOfNotNull(error.javaClass.simpleName, error.message).joinToString(": ")
    }
