package dev.pocketvl.presentation.text

import dev.pocketvl.BundleException
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals

class ErrorTextTest {
    @Test
    fun `pocketvl's sentences are shown as they are`() {
        assertEquals(
            "The folder is empty; copy it again.",
            errorText(BundleException("The folder is empty; copy it again.")),
        )
    }

    @Test
    fun `others name their class`() {
        assertEquals("IllegalStateException: no", errorText(IllegalStateException("no")))
        assertEquals("IllegalStateException", errorText(IllegalStateException()))
    }

    @Test
    fun `memory that ran out is said plainly`() =
        assertContains(errorText(OutOfMemoryError("17 bytes")), "memory ran out")
}
