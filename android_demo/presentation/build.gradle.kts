plugins {
    alias(libs.plugins.android.library)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "dev.pocketvl.presentation"
    compileSdk =
        libs.versions.compileSdk
            .get()
            .toInt()
    defaultConfig.minSdk =
        libs.versions.minSdk
            .get()
            .toInt()
    testOptions.unitTests.all { it.useJUnitPlatform { excludeTags("slow") } }
}

kotlin {
    jvmToolchain(17)
    compilerOptions.allWarningsAsErrors = true
}

dependencies {
    api(project(":core"))
    implementation(project(":engines"))
    testImplementation(libs.junit)
    testImplementation(libs.kotlin.test)
}
