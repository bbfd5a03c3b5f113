plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "dev.pocketvl.app"
    compileSdk =
        libs.versions.compileSdk
            .get()
            .toInt()

    defaultConfig {
        applicationId = "dev.pocketvl.app"
        minSdk =
            libs.versions.minSdk
                .get()
                .toInt()
        targetSdk =
            libs.versions.targetSdk
                .get()
                .toInt()
        versionCode =
            libs.versions.versionCode
                .get()
                .toInt()
        versionName = libs.versions.versionName.get()
        ndk.abiFilters += listOf("arm64-v8a", "x86_64")
    }

    // As in build_apk.sh: without the INTERNET permission, or with it and the downloader.
    flavorDimensions += "network"
    productFlavors {
        create("offline") { dimension = "network" }
        create("download") { dimension = "network" }
    }

    // Both engines bring a C++ library of the same name.
    packaging.jniLibs.pickFirsts += "lib/*/libc++_shared.so"
}

kotlin {
    jvmToolchain(17)
    compilerOptions.allWarningsAsErrors = true
}

dependencies {
    implementation(project(":core"))
    implementation(project(":engines"))
    implementation(project(":presentation"))
    "downloadImplementation"(project(":download"))
    implementation(libs.coroutines.android)
}
