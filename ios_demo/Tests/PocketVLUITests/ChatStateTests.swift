import PocketVL
import Testing

@testable import PocketVLUI

@Suite struct ChatStateTests {
    private let ready = ChatState(model: .ready(int4))
    private let cat = photo("cat")
    private let dog = photo("dog")

    @Test("a question needs a model and a text")
    func needs() {
        #expect(!ready.canSend)
        #expect(!ready.after(.typed("  ")).canSend)
        #expect(ready.after(.typed("What?")).canSend)
        #expect(!ChatState().after(.typed("What?")).canSend)
        #expect(!ready.after(.attached(cat)).canSend)
    }

    @Test("images are attached once and taken away")
    func images() {
        let two = ready.after(.attached(cat)).after(.attached(dog)).after(.attached(cat))
        #expect(two.draft.photos == [cat, dog])
        #expect(two.after(.detached(cat)).draft.photos == [dog])
    }

    @Test("an answer streams in and ends")
    func streams() {
        let asked = ask(ready.after(.typed("What?")), "What?")
        #expect(asked.isAnswering && asked.canStop && !asked.canSend && !asked.canRegenerate && !asked.canEdit)
        #expect(asked.draft.isEmpty)
        let partial = asked.after(.said("A ")).after(.said("cat"))
        #expect(partial.turns.map(\.answer) == ["A cat"])
        let done = answer(partial, "A cat.")
        #expect(done.turns.map(\.answer) == ["A cat."])
        #expect(done.canRegenerate && done.canEdit && !done.canStop)
    }

    @Test("a failed answer keeps what was said and leaves the conversation")
    func failed() {
        let failed = ask(ready, "What?").after(.said("A c")).after(.answerFailed("No memory."))
        #expect(
            failed.turns == [
                Turn(question: Question("What?"), answer: "A c", outcome: .failed("No memory.", isInstead: false))
            ])
    }

    @Test("a failed question that is asked again is there once, another leaves it on the screen")
    func again() {
        let failed = ask(ready, "What?").after(.answerFailed("No."))
        #expect(ask(failed, "What?").turns == [Turn(question: Question("What?"))])
        #expect(ask(failed, "Who?").turns.map(\.question.text) == ["What?", "Who?"])
        #expect(ask(failed.after(.editBegan), "Who?").turns.map(\.question.text) == ["Who?"])
    }

    @Test("an edited question takes the place of the last")
    func edit() {
        let first = answer(ask(answer(ask(ready, "One?"), "1"), "Two?"), "2")
        let editing = first.after(.editBegan)
        #expect(editing.draft == Draft(text: "Two?", isEdit: true))
        #expect(!editing.canRegenerate)
        let edited = answer(instead(editing, "Three?"), "3")
        #expect(edited.turns.map(\.question.text) == ["One?", "Three?"])
        #expect(edited.turns.map(\.answer) == ["1", "3"])
    }

    @Test("an edit that fails brings back what was there")
    func failedEdit() {
        let first = answer(ask(ready, "One?"), "1")
        let failed = instead(first, "Two?").after(.said("Tw")).after(.answerFailed("No."))
        #expect(failed.turns.map(\.answer) == ["1", "Tw"])
        #expect(failed.turns.last?.outcome == .failed("No.", isInstead: true))
        #expect(failed.turns.last?.replaced == [])
        #expect(answer(instead(failed, "Two?"), "2").turns.map(\.answer) == ["2"])
    }

    @Test("dropping an edit empties the draft, but no other draft")
    func drop() {
        #expect(answer(ask(ready, "One?"), "1").after(.editBegan).after(.editDropped).draft == Draft())
        #expect(ready.after(.typed("Hm")).after(.editDropped).draft.text == "Hm")
    }

    @Test("what was stopped before its first token goes back to be written")
    func withdrawn() {
        let asked = ready.after(.asked(Question("What?", photos: [cat]), isInstead: false))
        let stopped = answer(asked, "", isKept: false)
        #expect(stopped.turns == [])
        #expect(stopped.draft == Draft(text: "What?", photos: [cat]))
        #expect(ask(ready, "What?").after(.typed("Who")).after(.withdrawn).draft.text == "Who")
        let before = answer(ask(ready, "What?"), "A cat.")
        #expect(instead(before, "What?").after(.withdrawn) == before)
        #expect(instead(before, "Two?").after(.withdrawn).draft == Draft(text: "Two?", isEdit: true))
    }

    @Test("events of an answer that is over, and a second question meanwhile, change nothing")
    func late() {
        let done = answer(ask(ready, "What?"), "A cat.")
        for event in [ChatEvent.said("!"), .answerFailed("No."), .withdrawn] { #expect(done.after(event) == done) }
        #expect(answer(done, "again") == done)
        let asked = ask(ready, "What?")
        #expect(ask(asked, "Who?") == asked)
    }

    @Test("boxes belong to the images of the conversation")
    func boxes() {
        var state = answer(ready.after(.asked(Question("One?", photos: [cat]), isInstead: false)), "1")
        state = state.after(.asked(Question("Lost?", photos: [photo("lost")]), isInstead: false))
        state = state.after(.answerFailed("No.")).after(.asked(Question("Two?", photos: [dog]), isInstead: false))
        state = answer(state, "2")
        let last = state.turns.count - 1
        #expect(state.photo(of: last, box(0)) == cat)
        #expect(state.photo(of: last, box(1)) == dog)
        #expect(state.photo(of: last, box(2)) == nil)
        #expect(state.photo(of: 0, box(1)) == nil)  // an image that came later
        #expect(state.photo(of: last, box(-1)) == nil)
    }

    @Test("a box is mapped into the bars' middle, cut off at the image's edge")
    func letterbox() {
        let wide = Letterbox(PixelSize(height: 100, width: 200), viewWidth: 100, viewHeight: 100)
        #expect(wide.scale == 0.5 && wide.left == 0 && wide.top == 25)
        let box = Box(label: "cat", image: 0, x1: -10, y1: 20, x2: 100, y2: 500)
        #expect(wide.map(box) == ViewBox(left: 0, top: 35, right: 50, bottom: 75, label: "cat"))
        #expect(wide.map(Box(label: "", image: 0, x1: 300, y1: 0, x2: 400, y2: 10)) == nil)
        let none = Letterbox(PixelSize(height: 0, width: 0), viewWidth: 100, viewHeight: 100)
        #expect(none.map(box) == nil)
        let hidden = Letterbox(PixelSize(height: 10, width: 10), viewWidth: 0, viewHeight: -1)
        #expect(hidden.map(Box(label: "", image: 0, x1: 0, y1: 0, x2: 10, y2: 10)) == nil)
    }

    private func box(_ image: Int) -> Box { Box(label: "", image: image, x1: 0, y1: 0, x2: 1, y2: 1) }

    private func ask(_ state: ChatState, _ text: String) -> ChatState {
        state.after(.asked(Question(text), isInstead: false))
    }

    private func instead(_ state: ChatState, _ text: String) -> ChatState {
        state.after(.asked(Question(text), isInstead: true))
    }

    private func answer(_ state: ChatState, _ text: String, isKept: Bool = true) -> ChatState {
        state.after(.answered(finished(text, isKept: isKept), nil, nil))
    }
}
