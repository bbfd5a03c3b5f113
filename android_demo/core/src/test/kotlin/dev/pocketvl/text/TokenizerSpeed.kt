package dev.pocketvl.text

import java.io.File
import java.lang.management.ManagementFactory

/**
 * Prints how long a tokenizer takes to load and to encode 10,000 characters, cold and warm, and its memory.
 * Times are the thread's own, so that a busy machine does not count.
 *
 *     java -cp build/jvm/core:build/jvm/core-test:KOTLIN_JARS dev.pocketvl.text.TokenizerSpeedKt tokenizer.json
 */
fun main(arguments: Array<String>) {
    val before = used()
    lateinit var tokenizer: Tokenizer
    println("load ${milliseconds { tokenizer = Tokenizer(File(arguments[0])) }}")
    println("memory ${(used() - before) / 1024} KiB")
    for ((name, text) in texts()) {
        val cold = milliseconds { tokenizer.encode(text) }
        val warm = (0 until 200).map { milliseconds { tokenizer.encode(text) } }.sorted()
        println("$name: first $cold ms, then median ${warm[100]} ms, most ${warm.last()} ms")
    }
    val word = "ab".repeat(50_000)
    println("a word of 100,000 characters: ${milliseconds { tokenizer.encode(word) }} ms")
    println("load again ${milliseconds { tokenizer = Tokenizer(File(arguments[0])) }}")
    println(tokenizer.specialIds.size)
}

private fun texts(): Map<String, String> {
    val english = "The quick brown fox jumps over the lazy dog; what does the sign in image 2 say? "
    val chinese = "这张图片里有什么？请用一句话描述它的颜色和形状。"
    val marks = "Cre\u0300me bru\u0302le\u0301e, \u0928\u092e\u0938\u094d\u0924\u0947, \ud83d\udc69\u200d\ud83d\udc67! "
    val random = kotlin.random.Random(1)
    val words = (0 until 2000).joinToString(" ") { (0 until 5).map { 'a' + random.nextInt(26) }.joinToString("") }
    return mapOf(
        "English" to english.repeat(200).take(10_000),
        "Chinese" to chinese.repeat(500).take(10_000),
        "combining marks" to marks.repeat(300).take(10_000),
        "random words" to words.take(10_000),
    )
}

private fun milliseconds(work: () -> Unit): Double {
    val threads = ManagementFactory.getThreadMXBean()
    val start = threads.currentThreadCpuTime
    work()
    return (threads.currentThreadCpuTime - start) / 10_000 / 100.0
}

private fun used(): Long {
    repeat(3) { System.gc() }
    return Runtime.getRuntime().run { totalMemory() - freeMemory() }
}
