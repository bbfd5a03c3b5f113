package dev.pocketvl.app.platform

import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.PowerManager
import dev.pocketvl.presentation.platform.Thermal
import dev.pocketvl.presentation.platform.ThermalReader
import dev.pocketvl.presentation.platform.ThermalStatus

/** PowerManager's thermal status (Android 10) and headroom (Android 11), and the battery's temperature. */
class AndroidThermal(context: Context) : ThermalReader {
    private val context = context.applicationContext
    private val power = context.getSystemService(Context.POWER_SERVICE) as PowerManager

    override fun read(): Thermal = Thermal(status(), headroom(), celsius())

    private fun status(): ThermalStatus {
        if (Build.VERSION.SDK_INT < ANDROID_10) return ThermalStatus.NONE
        return ThermalStatus.entries.getOrElse(power.currentThermalStatus) { ThermalStatus.NONE }
    }

    /** NaN where the phone has no thermal HAL, or where it is asked more than once a second. */
    private fun headroom(): Float? {
        if (Build.VERSION.SDK_INT < ANDROID_11) return null
        return power.getThermalHeadroom(FORECAST_SECONDS).takeUnless { it.isNaN() }
    }

    /** The last broadcast is kept by the system, so nothing has to be waited for; it counts tenths of a degree. */
    private fun celsius(): Float? {
        val battery: Intent? = context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))
        val tenths = battery?.getIntExtra(BatteryManager.EXTRA_TEMPERATURE, Int.MIN_VALUE) ?: Int.MIN_VALUE
        return if (tenths == Int.MIN_VALUE) null else tenths / 10f
    }

    private companion object {
        const val ANDROID_10 = 29
        const val ANDROID_11 = 30
        const val FORECAST_SECONDS = 10
    }
}
