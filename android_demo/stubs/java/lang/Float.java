package java.lang;

/** API 24, which Kotlin's data classes call */
public final class Float {
    private Float() {}

    public static native int hashCode(float value);
}
