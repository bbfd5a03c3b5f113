package dev.pocketvl.presentation.text

/** What a number in the line below an answer is; the app has a string with its unit for each. */
enum class Fact {
    /** Seconds. */
    VISION,

    /** Seconds until the first token. */
    FIRST_TOKEN,

    /** Tokens a second. */
    PREFILL,

    /** Tokens a second. */
    DECODE,

    /** Of the answer. */
    TOKENS,

    /** Of the prompt, not fed again. */
    REUSED,

    /** Resident megabytes of the app. */
    MEMORY,

    /** Degrees Celsius of the battery. */
    TEMPERATURE,
}
