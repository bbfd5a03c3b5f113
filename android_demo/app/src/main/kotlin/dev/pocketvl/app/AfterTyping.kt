package dev.pocketvl.app

import android.text.Editable
import android.text.TextWatcher

/** Calls [changed] with the text after each change. */
internal class AfterTyping(private val changed: (String) -> Unit) : TextWatcher {
    override fun beforeTextChanged(text: CharSequence?, start: Int, count: Int, after: Int) = Unit

    override fun onTextChanged(text: CharSequence?, start: Int, before: Int, count: Int) = Unit

    override fun afterTextChanged(text: Editable) = changed(text.toString())
}
