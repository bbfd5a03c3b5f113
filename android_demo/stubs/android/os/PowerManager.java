package android.os;

public class PowerManager {
    private PowerManager() {}

    /** API 29 */
    public native int getCurrentThermalStatus();

    /** API 30 */
    public native float getThermalHeadroom(int forecastSeconds);
}
