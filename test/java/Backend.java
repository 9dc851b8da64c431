import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.nio.charset.StandardCharsets;

/**
 * A meeting backend as the field has them: Java with nothing but HttpURLConnection, which knows no PATCH and calls every
 * body a form unless it is told otherwise. Prints method, path, status and answer of each call.
 *
 * <p>java Backend.java http://127.0.0.1:8080
 */
public class Backend {
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private static final String BUDGET = "\u9884\u7b97"; // whatever the compiler takes this file's encoding for

    private final String base;

    private Backend(String base) {
        this.base = base;
    }

    public static void main(String[] args) throws IOException {
        Backend backend = new Backend(args[0]);
        backend.send("POST", "/api/v1/conferences/42/tree", "application/json; charset=utf-8",
            "{\"conferenceStatus\":\"1\",\"conferenceInfo\":{\"text\":\"Tab\\there\\nand a line: " + BUDGET + "\"},\"topicInfo\":{\"title\":\"First\"}}");
        backend.send("PUT", "/api/v1/conferences/42/tree/topicInfo", "application/json", "{\"title\":\"Second\",\"id\":1234567}");
        backend.send("POST", "/api/v1/push", null,
            "{\"sendUserId\":1,\"userIds\":[7,8],\"message\":{\"subject\":\"" + BUDGET + "\",\"options\":[\"yes\",\"no\"]},"
                + "\"destination\":\"vote_start\",\"conferenceId\":42,\"sendType\":2,\"valueName\":\"vote\"}");
        backend.send("POST", "/api", null, "{\"tokens\":[\"jt-7\"],\"data\":{\"orderId\":12},\"entityType\":\"order\"}");
        backend.send("POST", "/api/v1/push", null, "{\"userIds\":[7],\"message\":1,\"destination\":\"kicked\"}"); // a mistake
    }

    /** Sends a body; without a type HttpURLConnection says application/x-www-form-urlencoded. */
    private void send(String method, String path, String type, String body) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) new URL(base + path).openConnection();
        connection.setConnectTimeout(5000);
        connection.setReadTimeout(10000);
        connection.setRequestMethod(method);
        if (type != null) {
            connection.setRequestProperty("Content-Type", type);
        }
        connection.setDoOutput(true);
        try (OutputStream out = connection.getOutputStream()) {
            out.write(body.getBytes(StandardCharsets.UTF_8));
        }
        int status = connection.getResponseCode();
        InputStream answer = status < 400 ? connection.getInputStream() : connection.getErrorStream();
        OUT.println(method + " " + path + " " + status + " " + text(answer).trim());
        connection.disconnect();
    }

    private static String text(InputStream in) throws IOException {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        byte[] part = new byte[4096];
        for (int n = in.read(part); n >= 0; n = in.read(part)) {
            all.write(part, 0, n);
        }
        return new String(all.toByteArray(), StandardCharsets.UTF_8);
    }
}
