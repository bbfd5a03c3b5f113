package dev.pocketvl.presentation.saved

import dev.pocketvl.json.Json
import dev.pocketvl.json.JsonException

/**
 * What outlives the app's process beside the saved chat: small, since all apps share the system's memory for it.
 *
 * [bundle]: path of its folder. [photos]: Uris of the draft's images.
 */
data class SavedState(
    val bundle: String? = null,
    val draft: String = "",
    val photos: List<String> = emptyList(),
    val isEdit: Boolean = false,
) {
    /** For Bundle.putString. */
    fun write(): String =
        Json.write(mapOf("bundle" to bundle, "draft" to draft, "photos" to photos, "isEdit" to isEdit))

    companion object {
        /** Nothing for null and for what another version of the app wrote. */
        fun read(text: String?): SavedState {
            val document =
                try {
                    text?.let(Json::parse) as? Map<*, *>
                } catch (_: JsonException) {
                    null
                }
            return SavedState(
                bundle = document?.get("bundle") as? String,
                draft = document?.get("draft") as? String ?: "",
                photos = (document?.get("photos") as? List<*>)?.filterIsInstance<String>().orEmpty(),
                isEdit = document?.get("isEdit") as? Boolean ?: false,
            )
        }
    }
}
