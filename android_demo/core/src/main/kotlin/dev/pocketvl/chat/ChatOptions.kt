package dev.pocketvl.chat

/** What a chat is made with. */
data class ChatOptions
    @JvmOverloads
    constructor(
        /** Replaces the template's default system turn. */
        val system: String? = null,
        /** Of each image, instead of the bundle's; also of the frames of videos. */
        val minPixels: Int? = null,
        val maxPixels: Int? = null,
        /**
         * Whether the vision encoder stays in memory between images; else it is released after each turn's images
         * are encoded.
         */
        val keepVision: Boolean = false,
        /** Whether images are numbered in the prompt, "Picture 1: ". */
        val addVisionId: Boolean = false,
        /** Whether an answer that repeats itself without end is ended. */
        val stopRepetition: Boolean = true,
    ) {
        fun withSystem(system: String): ChatOptions = copy(system = system)

        fun withPixels(minPixels: Int?, maxPixels: Int?): ChatOptions =
            copy(minPixels = minPixels, maxPixels = maxPixels)

        fun withKeepVision(keepVision: Boolean): ChatOptions = copy(keepVision = keepVision)

        fun withAddVisionId(addVisionId: Boolean): ChatOptions = copy(addVisionId = addVisionId)

        fun withStopRepetition(stopRepetition: Boolean): ChatOptions = copy(stopRepetition = stopRepetition)
    }
