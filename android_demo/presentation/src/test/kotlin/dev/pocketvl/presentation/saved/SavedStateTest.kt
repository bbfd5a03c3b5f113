package dev.pocketvl.presentation.saved

import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.ValueSource
import kotlin.test.Test
import kotlin.test.assertEquals

class SavedStateTest {
    @Test
    fun `what is written is read`() {
        val state =
            SavedState("/files/bundles/int4", "Was \"ist\" das?\n\uD83D\uDC08", listOf("content://a", "b"), true)
        assertEquals(state, SavedState.read(state.write()))
    }

    @Test
    fun `nothing was written`() = assertEquals(SavedState(), SavedState.read(null))

    @ParameterizedTest
    @ValueSource(strings = ["", "{", "[]", "3", "{\"draft\": 3, \"photos\": {}, \"bundle\": [], \"isEdit\": \"yes\"}"])
    fun `what another version wrote is nothing`(text: String) = assertEquals(SavedState(), SavedState.read(text))
}
