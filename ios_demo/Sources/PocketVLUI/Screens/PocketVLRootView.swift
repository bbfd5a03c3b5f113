#if canImport(SwiftUI) && canImport(UIKit)
    import SwiftUI

    /// The whole app: chat first, the other screens a tap away.
    public struct PocketVLRootView: View {
        private let app: AppModel
        @Environment(\.scenePhase) private var phase

        public init(_ app: AppModel) { self.app = app }

        public var body: some View {
            TabView {
                NavigationStack { ChatScreen(app: app) }
                    .tabItem { Label("Chat", systemImage: "bubble.left.and.text.bubble.right") }
                NavigationStack { LiveScreen(live: app.live) }
                    .tabItem { Label("Live camera", systemImage: "camera.viewfinder") }
                NavigationStack { BundlesScreen(app: app) }
                    .tabItem { Label("Bundles", systemImage: "shippingbox") }
                NavigationStack { BenchmarkScreen(benchmark: app.benchmark) }
                    .tabItem { Label("Benchmark", systemImage: "stopwatch") }
            }
            .task { await app.begin() }
            .onChange(of: phase) { _, phase in if phase == .background { app.enterBackground() } }
            .onChange(of: app.holder.state.bundle) { _, bundle in app.remember(bundle) }
        }
    }
#endif
