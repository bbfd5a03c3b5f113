plugins {
    alias(libs.plugins.android.library)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "dev.pocketvl.engines"
    compileSdk =
        libs.versions.compileSdk
            .get()
            .toInt()
    defaultConfig.minSdk =
        libs.versions.minSdk
            .get()
            .toInt()

    // Their tests need native libraries that jvm.sh builds; Gradle's unit tests have none.
    sourceSets.named("test") { kotlin.setSrcDirs(emptyList<String>()) }
}

kotlin {
    jvmToolchain(17)
    compilerOptions.allWarningsAsErrors = true
}

dependencies {
    api(project(":core"))
    implementation(libs.onnxruntime)
    implementation(libs.executorch)
}
