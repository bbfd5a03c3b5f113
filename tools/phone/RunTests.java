import static org.junit.platform.engine.discovery.ClassNameFilter.includeClassNamePatterns;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClasspathRoots;
import static org.junit.platform.launcher.TagFilter.excludeTags;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.support.descriptor.ClassSource;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/**
 * Runs the JUnit 5 tests of one folder of classes: a line per class, each failure with its stack as it happens,
 * each skipped test with the reason. Arguments: folder, expression that a class's name contains, tag to leave
 * out (or "-"), and the file that "passed failed skipped" is written to.
 */
final class RunTests implements TestExecutionListener {
    private static final List<String> UNINTERESTING =
        List.of("org.junit.", "java.util.", "jdk.internal.reflect.", "java.lang.reflect.", "com.sun.tools.javac.",
            "kotlin.test.", "RunTests");

    private final Map<String, Long> started = new ConcurrentHashMap<>();
    private TestPlan plan;
    private int passed;
    private int failed;
    private int skipped;
    private int passedBefore;

    public static void main(String[] args) throws Exception {
        var request = LauncherDiscoveryRequestBuilder.request()
            .selectors(selectClasspathRoots(Set.of(Path.of(args[0]))))
            .filters(includeClassNamePatterns(".*(?:" + args[1] + ").*"));
        if (!args[2].equals("-")) {
            request.filters(excludeTags(args[2]));
        }
        var run = new RunTests();
        LauncherFactory.create().execute(request.build(), run);
        Files.writeString(Path.of(args[3]), run.passed + " " + run.failed + " " + run.skipped);
        System.out.flush();
        System.exit(0); // threads that a test left behind must not keep the run from ending
    }

    @Override
    public void testPlanExecutionStarted(TestPlan testPlan) {
        plan = testPlan;
    }

    @Override
    public synchronized void executionStarted(TestIdentifier test) {
        started.put(test.getUniqueId(), System.nanoTime());
        if (isTopClass(test)) {
            passedBefore = passed;
        }
    }

    @Override
    public synchronized void executionSkipped(TestIdentifier test, String reason) {
        int tests = (int) plan.getDescendants(test).stream().filter(TestIdentifier::isTest).count();
        skipped += Math.max(tests, 1);
        System.out.println("  SKIPPED " + name(test) + ": " + reason);
    }

    @Override
    public synchronized void executionFinished(TestIdentifier test, TestExecutionResult result) {
        Throwable thrown = result.getThrowable().orElse(null);
        switch (result.getStatus()) {
            case SUCCESSFUL -> passed += test.isTest() ? 1 : 0;
            case ABORTED -> {
                skipped++;
                System.out.println("  SKIPPED " + name(test) + ": " + (thrown == null ? "" : thrown.getMessage()));
            }
            case FAILED -> {
                failed++;
                System.out.println("  FAILED " + name(test));
                if (thrown != null) {
                    print(thrown, "    ", new LinkedHashSet<>());
                }
            }
        }
        if (isTopClass(test)) {
            String name = ((ClassSource) test.getSource().get()).getClassName();
            System.out.printf("%s: %d passed (%.1f s)%n", name, passed - passedBefore, seconds(test));
            System.out.flush();
        }
    }

    private double seconds(TestIdentifier test) {
        return (System.nanoTime() - started.getOrDefault(test.getUniqueId(), System.nanoTime())) / 1e9;
    }

    private boolean isTopClass(TestIdentifier test) {
        boolean underEngine = test.getParentIdObject().map(id -> id.getSegments().size() == 1).orElse(false);
        return underEngine && test.getSource().filter(ClassSource.class::isInstance).isPresent();
    }

    /** Class, nested class and test, outermost first. */
    private String name(TestIdentifier test) {
        var names = new ArrayDeque<String>();
        for (var at = test; at != null; at = plan.getParent(at).orElse(null)) {
            if (at.getParentIdObject().isPresent()) {
                names.addFirst(at.getDisplayName());
            }
        }
        return String.join(" > ", names);
    }

    /** A stack without the test runner's own frames, with causes and what was suppressed. */
    private static void print(Throwable thrown, String indent, Set<Throwable> printed) {
        if (!printed.add(thrown)) {
            return;
        }
        System.out.println(indent + String.valueOf(thrown).replace("\n", "\n" + indent));
        var frames = new ArrayList<StackTraceElement>();
        for (StackTraceElement frame : thrown.getStackTrace()) {
            if (UNINTERESTING.stream().noneMatch(frame.getClassName()::startsWith)) {
                frames.add(frame);
            }
        }
        frames.stream().limit(25).forEach(frame -> System.out.println(indent + "  at " + frame));
        for (Throwable suppressed : thrown.getSuppressed()) {
            System.out.println(indent + "suppressed:");
            print(suppressed, indent + "  ", printed);
        }
        if (thrown.getCause() != null) {
            System.out.println(indent + "caused by:");
            print(thrown.getCause(), indent, printed);
        }
    }
}
