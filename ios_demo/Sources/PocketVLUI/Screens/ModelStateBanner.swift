#if canImport(SwiftUI) && canImport(UIKit)
    import SwiftUI

    /// What the model is doing, as long as it does not answer.
    struct ModelStateBanner: View {
        let holder: ModelHolder

        var body: some View {
            if !holder.state.isReady {
                VStack(alignment: .leading, spacing: 8) {
                    Text(Sentences().model(holder.state))
                        .font(.subheadline)
                        .fixedSize(horizontal: false, vertical: true)
                    switch holder.state {
                    case .verifying(_, let done, let total):
                        ProgressView(value: Double(done), total: Double(max(total, done, 1)))
                            .accessibilityHidden(true)  // the sentence says it
                    case .compiling, .loading: ProgressView()
                    case .lowMemory: Button("Load anyway") { holder.loadAnyway() }
                    case .notChosen, .downloaded, .ready, .failed: EmptyView()
                    }
                    if holder.state.isLoading { Button("Cancel", role: .cancel) { holder.cancelLoad() } }
                }
                .frame(maxWidth: .infinity, alignment: .leading)
                .padding()
                .background(.thinMaterial, in: RoundedRectangle(cornerRadius: 12))
                .accessibilityElement(children: .contain)
            }
        }
    }
#endif
