#if canImport(SwiftUI) && canImport(UIKit)
    import SwiftUI

    /// Times the loaded bundle, and shares the report as JSON.
    struct BenchmarkScreen: View {
        let benchmark: BenchmarkViewModel

        var body: some View {
            List {
                Section {
                    if benchmark.state.isRunning {
                        if let step = benchmark.state.step {
                            ProgressView(said(step.stage), value: Double(step.done), total: Double(max(step.total, 1)))
                        }
                        Button("Cancel", role: .cancel) { benchmark.cancel() }
                    } else {
                        Button("Start", systemImage: "stopwatch") { benchmark.start() }.disabled(!benchmark.canStart)
                    }
                } footer: {
                    Text("Takes about a minute. Lay the device down and leave it alone.")
                }
                if let message = benchmark.state.message { Text(message).foregroundStyle(.red) }
                if let report = benchmark.state.report { rows(report) }
            }
            .navigationTitle("Benchmark")
        }

        @ViewBuilder private func rows(_ report: BenchmarkReport) -> some View {
            let numbers = Numbers()
            Section {
                LabeledContent("Bundle", value: "\(report.manifest.recipe), \(report.manifest.target)")
                LabeledContent(
                    "Loading the vision encoder", value: "\(numbers.significant(report.timings.visionLoad)) s")
                LabeledContent("Loading the decoder", value: "\(numbers.significant(report.timings.decoderLoad)) s")
                ForEach(report.timings.vision, id: \.patches) { times in
                    LabeledContent(
                        "Image of \(numbers.whole(times.patches)) patches",
                        value: "\(numbers.significant(times.best)) s")
                }
                LabeledContent(
                    "Prompt of \(numbers.whole(report.timings.prefill.tokens)) tokens",
                    value: "\(numbers.significant(report.timings.prefill.rate)) tokens/s")
                LabeledContent(
                    "Answer", value: "\(numbers.significant(report.timings.decode.rate)) tokens/s")
                LabeledContent(
                    "Memory of the app", value: "\(numbers.megabytes(report.after.memory.process)) MB")
            }
            if benchmark.state.canShare, let json = report.json() {
                ShareLink("Share as JSON", item: json, subject: Text("pocketvl benchmark"))
            }
        }

        private func said(_ stage: Stage) -> String {
            switch stage {
            case .vision: "Timing images …"
            case .prefill: "Timing a prompt …"
            case .decode: "Timing an answer …"
            }
        }
    }
#endif
