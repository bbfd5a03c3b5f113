package dev.pocketvl;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.pocketvl.bundle.Verify;
import dev.pocketvl.chat.Agent;
import dev.pocketvl.chat.AgentOptions;
import dev.pocketvl.chat.Answer;
import dev.pocketvl.chat.AskOptions;
import dev.pocketvl.chat.ChatOptions;
import dev.pocketvl.chat.Content;
import dev.pocketvl.chat.LiveView;
import dev.pocketvl.chat.Sampling;
import dev.pocketvl.media.RgbImage;
import dev.pocketvl.text.ImagePart;
import dev.pocketvl.text.TextPart;
import dev.pocketvl.text.tools.Tool;
import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** What a caller in Java writes. */
final class JavaCallerTest {
    private final Chats chats = new Chats(640);
    private final RgbImage image = new RgbImage(56, 56, new byte[3 * 56 * 56]);
    private final AskOptions options =
            new AskOptions().withMaxTokens(24).withSampling(Sampling.GREEDY).withStop("never");

    @Test
    void asksAndWaits() throws Exception {
        try (Model model = chats.model(chats.getFake())) {
            Chat chat = model.chat(new ChatOptions("Be brief.").withKeepVision(true));
            StringBuilder said = new StringBuilder();
            Answer answer =
                    chat.askBlocking(List.of(new ImagePart(image), new TextPart("What?")), options, said::append);
            assertEquals(answer.getText(), said.toString());
            assertEquals(1, answer.getStatistics().getImagesEncoded());
            assertTrue(chat.askBlocking("And now?").getTokenIds().size() > 0);
            chat.setConversation(chat.getConversation().getBefore());
            chat.save(new File(chats.getFolder(), "saved"));
            Chat restored = model.loadChat(new File(chats.getFolder(), "saved"));
            assertEquals(3, restored.getConversation().getMessages().size());
        }
    }

    @Test
    void asksAndListens() throws Exception {
        chats.getFake().setEos(null);
        ExecutorService executor = Executors.newSingleThreadExecutor();
        List<String> calls = new ArrayList<>();
        CountDownLatch done = new CountDownLatch(1);
        try (Model model = chats.model(chats.getFake())) {
            AnswerHandle handle =
                    model.chat()
                            .ask(
                                    new Content.Parts("What?"),
                                    new AnswerListener() {
                                        @Override
                                        public void onStarted(int promptTokens, int reusedTokens) {
                                            calls.add("started");
                                        }

                                        @Override
                                        public void onText(String piece) {
                                            if (!calls.contains("text")) calls.add("text");
                                        }

                                        @Override
                                        public void onCompleted(Answer answer) {
                                            calls.add("completed");
                                            done.countDown();
                                        }

                                        @Override
                                        public void onFailed(PocketVLException error, String text) {
                                            calls.add("failed");
                                            done.countDown();
                                        }
                                    },
                                    executor,
                                    options);
            assertTrue(done.await(60, TimeUnit.SECONDS));
            handle.cancel();
            assertEquals(List.of("started", "text", "completed"), calls);
        } finally {
            executor.shutdown();
        }
    }

    @Test
    void looksAndCalls() throws Exception {
        try (Model model = chats.model(chats.getFake());
                LiveView view = model.chat(new ChatOptions().withKeepVision(true)).see(image)) {
            assertTrue(view.waitForChange(60_000));
            assertEquals(0, view.askBlocking("What?", options).getStatistics().getImagesEncoded());
            Tool tool = new Tool("look", "Looks.", Map.of("type", "object"), arguments -> image);
            Agent agent = new Agent(model.chat(), List.of(tool), new AgentOptions(2));
            assertEquals(1, agent.askBlocking(new Content.Parts("Look."), options).getAnswers().size());
        }
    }

    @Test
    void loadsWithOptions() {
        LoadOptions options =
                new LoadOptions(Verify.ALWAYS).withThreads(2).withProgress((hashed, bytes) -> {});
        assertThrows(
                BundleException.class,
                () -> PocketVL.load(new File("none"), (bundle, threads) -> chats.getFake().getEngine(), options));
    }
}
