package dev.pocketvl.presentation.platform

/** What a benchmark says of the phone: nothing that tells one user's phone from another of its kind. */
data class Device(
    /** Build.MANUFACTURER */
    val manufacturer: String,
    /** Build.MODEL */
    val model: String,
    /** Build.SOC_MODEL, or Build.HARDWARE before Android 12. */
    val processor: String,
    /** Of the processor. */
    val cores: Int,
    /** Build.VERSION.SDK_INT */
    val apiLevel: Int,
    /** Build.SUPPORTED_ABIS[0] */
    val abi: String,
    /** In bytes. */
    val memory: Long,
)
