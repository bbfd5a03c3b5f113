package dev.pocketvl.app.platform

import android.app.ActivityManager
import android.content.Context
import dev.pocketvl.presentation.platform.Memory
import dev.pocketvl.presentation.platform.MemoryReader
import java.io.File
import java.io.IOException

/** What ActivityManager says of the phone, and Linux of this process. */
class AndroidMemory(context: Context) : MemoryReader {
    private val manager = context.getSystemService(Context.ACTIVITY_SERVICE) as ActivityManager

    override fun read(): Memory {
        val info = ActivityManager.MemoryInfo()
        manager.getMemoryInfo(info)
        return Memory(info.availMem, info.totalMem, info.lowMemory, residentBytes())
    }

    /** VmRSS of /proc/self/status, which is in kB; mapped files count where they were read. 0 where it is unreadable. */
    private fun residentBytes(): Long =
        try {
            File("/proc/self/status").useLines { lines ->
                val line = lines.firstOrNull { it.startsWith("VmRSS:") }
                line?.filter { it in '0'..'9' }?.toLongOrNull()?.times(1024) ?: 0
            }
        } catch (_: IOException) {
            0
        }
}
