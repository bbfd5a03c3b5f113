package dev.pocketvl.app.platform

import android.os.Build
import dev.pocketvl.presentation.platform.Device

private const val ANDROID_12 = 31

/** This phone. [totalMemory] in bytes, as [AndroidMemory] reads it. */
fun thisDevice(totalMemory: Long): Device =
    Device(
        manufacturer = Build.MANUFACTURER,
        model = Build.MODEL,
        processor = if (Build.VERSION.SDK_INT >= ANDROID_12) Build.SOC_MODEL else Build.HARDWARE,
        cores = Runtime.getRuntime().availableProcessors(),
        apiLevel = Build.VERSION.SDK_INT,
        abi = Build.SUPPORTED_ABIS[0],
        memory = totalMemory,
    )
