import PocketVL

/// What happened, by the user's hand or the model's.
enum ChatEvent: Sendable {
    case modelChanged(ModelState)
    case typed(String)
    case attached(Photo)
    case detached(Photo)
    case editBegan
    case editDropped
    /// `isInstead`: of the last turn that is part of the conversation.
    case asked(Question, isInstead: Bool)
    case said(String)
    case answered(FinishedAnswer, Memory?, Thermal?)
    case answerFailed(String)
    /// Stopped before anything was said.
    case withdrawn
    case restored([Turn])
    case noticed(String)
    case noticeShown
}

extension ChatState {
    /// The state after an event. Events that do not fit change nothing: the screen may be a moment behind.
    func after(_ event: ChatEvent) -> ChatState {
        var next = self
        switch event {
        case .modelChanged(let model): next.model = model
        case .typed(let text): next.draft.text = text
        case .attached(let photo): if !draft.photos.contains(photo) { next.draft.photos.append(photo) }
        case .detached(let photo): next.draft.photos.removeAll { $0 == photo }
        case .editBegan: if canEdit, let last = turns.last { next.draft = last.question.draft(isEdit: true) }
        case .editDropped: if draft.isEdit { next.draft = Draft() }
        case .asked(let question, let isInstead): next.ask(question, isInstead: isInstead)
        case .said(let piece): next.changeAnswering { $0.answer += piece }
        case .answered(let answer, let memory, let thermal): next.finish(answer, memory, thermal)
        case .answerFailed(let message): next.fail(message)
        case .withdrawn: next.withdraw()
        case .restored(let turns): next.turns = turns
        case .noticed(let message): next.notice = message
        case .noticeShown: next.notice = nil
        }
        return next
    }

    /// Failed turns that are tried again leave; one that the answer is to take the place of waits in the new one.
    private mutating func ask(_ question: Question, isInstead: Bool) {
        if isAnswering { return }
        if isInstead || draft.isEdit || turns.last?.question == question {
            while turns.last?.isFailed == true { turns.removeLast() }
        }
        let replaced = isInstead ? turns.popLast().map { [$0] } ?? [] : []
        turns.append(Turn(question: question, replaced: replaced))
        draft = Draft()
    }

    private mutating func changeAnswering(_ change: (inout Turn) -> Void) {
        if isAnswering { change(&turns[turns.count - 1]) }
    }

    private mutating func finish(_ answer: FinishedAnswer, _ memory: Memory?, _ thermal: Thermal?) {
        if !answer.isKept { return withdraw() }
        changeAnswering { turn in
            turn.answer = answer.text
            turn.replaced = []
            turn.outcome = .finished(
                Finish(
                    end: answer.end, boxes: answer.boxes, notes: answer.notes, statistics: answer.statistics,
                    memory: memory, thermal: thermal))
        }
    }

    private mutating func fail(_ message: String) {
        guard isAnswering, var turn = turns.popLast() else { return }
        turns += turn.replaced
        turn.outcome = .failed(message, isInstead: !turn.replaced.isEmpty)
        turn.replaced = []
        turns.append(turn)
    }

    /// The question goes back to where it was written, unless something else is being written there.
    private mutating func withdraw() {
        guard isAnswering, let turn = turns.popLast() else { return }
        turns += turn.replaced
        let isRegenerated = turn.replaced.first?.question == turn.question
        if draft.isEmpty && !isRegenerated { draft = turn.question.draft(isEdit: !turn.replaced.isEmpty) }
    }
}

extension Question {
    fileprivate func draft(isEdit: Bool) -> Draft { Draft(text: text, photos: photos, isEdit: isEdit) }
}
