package dev.pocketvl.app

import android.app.Activity
import android.view.MenuItem
import android.view.View
import android.widget.Toast
import android.widget.Toolbar
import dev.pocketvl.presentation.text.Numbers
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.cancel
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.launch
import java.util.Locale

/** What all screens share: a bar with a title, and state that is rendered while the screen is visible. */
abstract class ScreenActivity : Activity() {
    private var visible: CoroutineScope? = null

    /** For as long as the views are there. */
    protected val created = CoroutineScope(Job() + MainThread)

    protected val app: PocketVLApp get() = application as PocketVLApp
    protected val numbers: Numbers by lazy { Numbers(Locale.getDefault()) }

    /** [layout] has a Toolbar with the id toolbar. */
    protected fun setScreen(layout: Int, isFirst: Boolean = false) {
        setContentView(layout)
        setActionBar(find(R.id.toolbar))
        actionBar?.setDisplayHomeAsUpEnabled(!isFirst)
    }

    /** Calls [show] for what renders the state, each time that the screen becomes visible. */
    protected abstract fun render(scope: CoroutineScope)

    override fun onStart() {
        super.onStart()
        visible = CoroutineScope(Job() + MainThread).also(::render)
    }

    override fun onStop() {
        visible?.cancel()
        visible = null
        super.onStop()
    }

    override fun onDestroy() {
        created.cancel()
        super.onDestroy()
    }

    override fun onOptionsItemSelected(item: MenuItem): Boolean {
        if (item.itemId != android.R.id.home) return super.onOptionsItemSelected(item)
        finish()
        return true
    }

    protected fun <T> CoroutineScope.show(states: Flow<T>, render: (T) -> Unit) {
        launch { states.collect { render(it) } }
    }

    protected fun tell(message: String) = Toast.makeText(this, message, Toast.LENGTH_LONG).show()

    /** findViewById has a type parameter from API 26 on only; the cast compiles against older ones as well. */
    @Suppress("UNCHECKED_CAST")
    protected fun <T : View> find(id: Int): T = findViewById(id) as T

    protected fun onClick(id: Int, action: () -> Unit) = (findViewById(id) as View).setOnClickListener { action() }
}

/** Whether a view is there at all. */
internal var View.isPresent: Boolean
    get() = visibility == View.VISIBLE
    set(value) {
        visibility = if (value) View.VISIBLE else View.GONE
    }
