package dev.pocketvl.app

import android.app.Activity
import android.app.Application
import android.os.Bundle

/** Counts the app's activities on the screen. One that is turned is gone for a moment, which counts for nothing. */
class VisibleActivities(private val onVisible: () -> Unit, private val onHidden: () -> Unit) :
    Application.ActivityLifecycleCallbacks {
    private var count = 0

    override fun onActivityStarted(activity: Activity) {
        if (count++ == 0 && !isTurning) onVisible()
        isTurning = false
    }

    override fun onActivityStopped(activity: Activity) {
        if (--count > 0) return
        isTurning = activity.isChangingConfigurations
        if (!isTurning) onHidden()
    }

    private var isTurning = false

    override fun onActivityCreated(activity: Activity, savedInstanceState: Bundle?) = Unit

    override fun onActivityResumed(activity: Activity) = Unit

    override fun onActivityPaused(activity: Activity) = Unit

    override fun onActivitySaveInstanceState(activity: Activity, outState: Bundle) = Unit

    override fun onActivityDestroyed(activity: Activity) = Unit
}
