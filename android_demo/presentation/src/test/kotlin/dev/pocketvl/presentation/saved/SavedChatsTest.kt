package dev.pocketvl.presentation.saved

import dev.pocketvl.decoding.StopReason
import dev.pocketvl.presentation.INT4
import dev.pocketvl.presentation.SMALL
import dev.pocketvl.presentation.chat.Outcome
import dev.pocketvl.presentation.chat.Turn
import dev.pocketvl.presentation.model.Question
import dev.pocketvl.presentation.photo
import dev.pocketvl.text.Box
import org.junit.jupiter.api.io.TempDir
import java.io.File
import java.io.IOException
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertNull

class SavedChatsTest {
    @TempDir
    lateinit var folder: File

    private val turn =
        Turn(
            Question("Where is the \"cat\"?", listOf(photo("cat"), photo("dog"))),
            "There.",
            Outcome.Finished(
                StopReason.LENGTH,
                listOf(Box("cat", 1, 0.5, 1.0, 2.0, 3.25)),
                listOf("The image was cut."),
            ),
        )
    private val failed = Turn(Question("What?"), "A", Outcome.Failed("No.", isInstead = false))

    private fun save(chats: SavedChats = SavedChats(folder)) =
        chats.save(INT4, listOf(turn, failed)) { it.writeText("x") }

    @Test
    fun `what is part of the conversation comes back`() {
        save()
        val (file, turns) = assertNotNull(SavedChats(folder).find(INT4))
        assertEquals("x", file.readText())
        assertEquals(listOf(turn), turns)
        assertNull(SavedChats(folder).find(SMALL))
    }

    @Test
    fun `a save that fails leaves the one before`() {
        save()
        assertFailsWith<IOException> {
            SavedChats(folder).save(INT4, emptyList()) {
                it.writeText("half")
                throw IOException("No space left on device")
            }
        }
        assertEquals("x", assertNotNull(SavedChats(folder).find(INT4)).first.readText())
        assertEquals(2, folder.list()?.size)
    }

    @Test
    fun `a damaged transcript is as none`() {
        save()
        val transcript = assertNotNull(folder.listFiles()?.find { it.extension == "json" })
        val text = transcript.readText()
        val damages =
            listOf("", "{}", "[1]", "{\"version\":2,\"turns\":[]}") +
                listOf(
                    "LENGTH" to "NEVER",
                    "\"turns\":[" to "\"turns\":[3,",
                    "0.5,1.0" to "0.5",
                    "\"name\":" to "\"nom\":",
                ).map { (old, new) -> text.replaceFirst(old, new).also { assert(it != text) { old } } }
        for (damaged in damages) {
            transcript.writeText(damaged)
            assertNull(SavedChats(folder).find(INT4), damaged)
        }
    }

    @Test
    fun `a model's file without its transcript is not restored`() {
        save()
        folder.listFiles()?.filter { it.extension == "json" }?.forEach { it.delete() }
        assertNull(SavedChats(folder).find(INT4))
    }

    @Test
    fun `deleting leaves nothing`() {
        save()
        SavedChats(folder).delete(INT4)
        assertEquals(0, folder.list()?.size)
    }
}
