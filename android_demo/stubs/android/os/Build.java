package android.os;

public class Build {
    private Build() {}

    /** API 31 */
    public static String SOC_MODEL;
}
