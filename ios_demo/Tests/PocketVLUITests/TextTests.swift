import Foundation
import PocketVL
import Testing

@testable import PocketVLUI

@Suite struct TextTests {
    private let english = Numbers(locale: Locale(identifier: "en_US"))
    private let german = Numbers(locale: Locale(identifier: "de_DE"))

    @Test("numbers are written as the language writes them")
    func numbers() {
        #expect(english.decimal(1234.5678, digits: 2) == "1,234.57")
        #expect(german.decimal(1234.5678, digits: 2) == "1.234,57")
        #expect(english.decimal(-0.001, digits: 2) == "0.00")
        #expect(english.decimal(.nan, digits: 2) == "–" && english.decimal(.infinity, digits: 0) == "–")
        #expect(
            [1.417, 9.994, 9.996, 12.65, 99.96, 312.4].map(english.significant) == [
                "1.42", "9.99", "10.0", "12.7", "100", "312",
            ])
        #expect(english.megabytes(1_652_000_000) == "1,652" && english.gigabytes(1_652_000_000) == "1.65")
        #expect(english.percent(999, of: 1000) == 99 && english.percent(5, of: 0) == 0)
        #expect(english.percent(2000, of: 1000) == 100 && english.percent(-1, of: 1000) == 0)
    }

    @Test("VoiceOver hears whole sentences, each once")
    func spoken() {
        var spoken = SpokenText()
        #expect(spoken.next("A cat", isDone: false) == "")
        #expect(spoken.next("A cat. It", isDone: false) == "A cat.")
        #expect(spoken.next("A cat. It costs 3.5", isDone: false) == "")
        #expect(spoken.next("A cat. It costs 3.50", isDone: true) == "It costs 3.50")
        #expect(spoken.next("猫。犬", isDone: false) == "猫。")  // another answer
    }

    @Test("the line below an answer leaves out what says nothing")
    func statistics() {
        var statistics = Statistics()
        statistics.timeToFirstToken = 1.5
        statistics.decodeTokens = 7
        let memory = Memory(available: 0, total: 0, process: 1_530_000_000)
        var finish = Finish(end: .stop, statistics: statistics, memory: memory, thermal: cool)
        #expect(statisticsLine(finish, english) == "first word after 1.50 s · 8 tokens · 1,530 MB")
        finish.statistics?.imagesEncoded = 1
        finish.statistics?.visionSeconds = 0.5
        finish.statistics?.decodeSeconds = 0.5
        finish.thermal = Thermal(state: .serious, isLowPower: false)
        #expect(
            statisticsLine(finish, english)
                == "image 0.50 s · first word after 1.50 s · answer 14.0 tokens/s · 8 tokens · 1,530 MB"
                + " · device is hot")
        finish.statistics = nil
        #expect(statisticsLine(finish, english) == "")
    }

    @Test("each state is told in a sentence")
    func sentences() {
        let sentences = Sentences(english)
        #expect(sentences.model(.verifying(int4, done: 1, total: 3)) == "Checking the files of int4: 33 %")
        #expect(sentences.model(.compiling(int4)).contains("some minutes"))
        let need = MemoryNeed(weights: 1_500_000_000, vision: 0, cache: 0, working: 0)
        let memory = Memory(available: 1_000_000_000, total: 4_000_000_000, process: 200_000_000)
        let tight = sentences.model(.lowMemory(int4, need, memory, .tight))
        #expect(tight.hasPrefix("int4 needs up to 1.50 GB of memory, but 1.00 GB are left to this app."))
        #expect(sentences.model(.lowMemory(int4, need, memory, .tooLarge)).contains("more than the 1.20 GB"))
        #expect(sentences.end(.stop) == nil && sentences.end(.context)?.contains("Start a new chat.") == true)
        #expect(sentences.work(.downloading(Transfer(done: 1_000_000, total: 2_000_000))) == "Downloading: 1 of 2 MB")
        #expect(sentences.work(.copying(Transfer(done: 1_000_000, total: nil))) == "Copying: 1 MB")
    }
}
