package dev.pocketvl.presentation.saved

import dev.pocketvl.presentation.chat.Turn
import dev.pocketvl.presentation.platform.InstalledBundle
import java.io.File
import java.io.IOException
import java.security.MessageDigest

/**
 * One conversation for each bundle, among the app's files: what the model needs to go on with it, written by the
 * model, and beside it what the screen shows. All calls block.
 */
class SavedChats(private val folder: File) {
    /** [conversation] writes the model's part into the file that it gets. Throws what it throws, and [IOException]. */
    fun save(bundle: InstalledBundle, turns: List<Turn>, conversation: (File) -> Unit) {
        folder.mkdirs()
        val model = modelFile(bundle)
        val temporary = File(folder, "${model.name}.new")
        try {
            conversation(temporary)
            // Without its transcript a conversation is not restored: so the two never belong to different chats.
            transcriptFile(bundle).delete()
            move(temporary, model)
            val text = File(folder, "${model.name}.text")
            text.writeText(Transcript.write(turns))
            move(text, transcriptFile(bundle))
        } finally {
            temporary.delete()
        }
    }

    /** The model's file and the turns on the screen, or null where none is saved or the transcript is damaged. */
    fun find(bundle: InstalledBundle): Pair<File, List<Turn>>? {
        val model = modelFile(bundle)
        val transcript = transcriptFile(bundle)
        if (!model.isFile || !transcript.isFile) return null
        val turns = Transcript.read(transcript.readText()) ?: return null
        return if (turns.isEmpty()) null else Pair(model, turns)
    }

    fun delete(bundle: InstalledBundle) {
        transcriptFile(bundle).delete()
        modelFile(bundle).delete()
    }

    private fun modelFile(bundle: InstalledBundle) = File(folder, "${key(bundle)}.chat")

    private fun transcriptFile(bundle: InstalledBundle) = File(folder, "${key(bundle)}.json")

    private fun key(bundle: InstalledBundle): String =
        MessageDigest
            .getInstance("SHA-256")
            .digest(bundle.folder.path.toByteArray())
            .take(KEY_BYTES)
            .joinToString("") { "%02x".format(it) }

    private fun move(from: File, to: File) {
        if (!from.renameTo(to)) throw IOException("$from cannot be renamed to $to; free some space and try again.")
    }

    private companion object {
        const val KEY_BYTES = 8
    }
}
