import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.PrintStream;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.Map;
import java.util.concurrent.Executors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * A meeting backend with nothing but Java 17. What it is for: examples/README.md.
 *
 * <pre>
 * java Backend.java tree 42 '{"topicInfo":{"title":"Budget"}}'
 * java Backend.java notice lunch-1 '{"to":{"users":["anna"]},"title":"Lunch","body":"At noon"}'
 * java Backend.java listen
 * </pre>
 */
public class Backend {
    private static final PrintStream OUT = new PrintStream(System.out, true, UTF_8);

    private final HttpClient http = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(5)).build();
    private final String url;
    private final String apiKey;

    Backend(String url, String apiKey) {
        this.url = url;
        this.apiKey = apiKey;
    }

    /** Changes the sections that are given, and in them only what is given. */
    String patchTree(String conferenceId, String sections) throws IOException, InterruptedException {
        return send("PATCH", "/conferences/" + URLEncoder.encode(conferenceId, UTF_8) + "/tree", sections, null);
    }

    /** Says something to people. Take the key from what makes the backend say it: the same key is the same notice. */
    String notify(String idempotencyKey, String notice) throws IOException, InterruptedException {
        return send("POST", "/notices", notice, idempotencyKey);
    }

    /**
     * Returns the answer, or throws what is wrong. What rollcall has no time for now (429, 503), or what was not answered by it, is sent again, after as
     * many seconds as Retry-After says. That is safe for both calls above: a merge patch may be applied twice, and a notice with the
     * same Idempotency-Key goes out once.
     */
    private String send(String method, String path, String body, String idempotencyKey) throws IOException, InterruptedException {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url + "/api/v1" + path)).timeout(Duration.ofSeconds(15))
            .method(method, HttpRequest.BodyPublishers.ofString(body)).header("Content-Type", "application/json");
        if (apiKey != null) {
            request.header("Authorization", "Bearer " + apiKey);
        }
        if (idempotencyKey != null) {
            request.header("Idempotency-Key", idempotencyKey);
        }
        for (int attempt = 1;; attempt++) {
            int status = 0;
            long seconds = 1;
            IOException wrong;
            boolean inFlight = false; // an earlier attempt is still being worked on
            try {
                HttpResponse<String> response = http.send(request.build(), BodyHandlers.ofString());
                status = response.statusCode();
                if (status < 300) {
                    return response.body();
                }
                seconds = response.headers().firstValue("Retry-After").filter(text -> text.matches("\\d{1,9}")).map(Long::parseLong).orElse(1L);
                inFlight = response.body().contains("\"idempotency_in_flight\"");
                wrong = new IOException(status + " " + response.body()); // application/problem+json: title, detail, code
            } catch (IOException e) {
                wrong = new IOException("no answer: " + e, e);
            }
            if (attempt == 5 || status != 0 && status != 429 && status < 500 && !inFlight) {
                throw wrong;
            }
            System.err.println(status + ", again in " + seconds + " s");
            Thread.sleep(seconds * 1000);
        }
    }

    /** Says with which status to refuse a webhook, or 204: one signature is that of rollcall (Standard Webhooks), and no older than five minutes. */
    static int verify(String secret, String id, String timestamp, String signatures, byte[] body) throws GeneralSecurityException {
        if (id == null || signatures == null || timestamp == null || !timestamp.matches("\\d{1,11}")) {
            return 400;
        }
        if (Math.abs(Instant.now().getEpochSecond() - Long.parseLong(timestamp)) > 300) {
            return 401; // somebody may have recorded it
        }
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(Base64.getDecoder().decode(secret.substring("whsec_".length())), "HmacSHA256"));
        mac.update((id + "." + timestamp + ".").getBytes(UTF_8));
        byte[] expected = ("v1," + Base64.getEncoder().encodeToString(mac.doFinal(body))).getBytes(UTF_8);
        for (String given : signatures.split(" ")) { // several while the secret changes
            if (MessageDigest.isEqual(given.getBytes(UTF_8), expected)) { // in constant time
                return 204;
            }
        }
        return 401;
    }

    private static int receive(HttpExchange request, String secret) throws IOException, GeneralSecurityException {
        if (!request.getRequestMethod().equals("POST")) {
            return 405;
        }
        byte[] body = request.getRequestBody().readNBytes((1 << 20) + 1); // as bytes: parsed and printed again, it has another signature
        if (body.length > 1 << 20) {
            return 413;
        }
        var headers = request.getRequestHeaders();
        String id = headers.getFirst("webhook-id");
        int status = verify(secret, id, headers.getFirst("webhook-timestamp"), headers.getFirst("webhook-signature"), body);
        if (status == 204) {
            // The same event may come again, with the same id: keep ids where you keep what came of the event. Answer when that is stored.
            OUT.println(id + " " + new String(body, UTF_8));
        }
        return status;
    }

    private static void listen(String address, String secret) throws IOException {
        if (secret == null || !secret.matches("whsec_[A-Za-z0-9+/]+=*")) {
            throw new IOException("RC_WEBHOOK_SECRET is whsec_ and base64");
        }
        int colon = address.lastIndexOf(':');
        HttpServer server = HttpServer.create(new InetSocketAddress(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1))), 0);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.createContext("/", request -> {
            try (request) {
                int status = 500;
                try {
                    status = receive(request, secret);
                } catch (GeneralSecurityException | RuntimeException e) {
                    System.err.println(e);
                }
                request.sendResponseHeaders(status, -1);
            }
        });
        server.start();
        OUT.println("listening on http://" + address);
    }

    public static void main(String[] args) throws InterruptedException {
        Map<String, String> env = System.getenv();
        Backend backend = new Backend(env.getOrDefault("RC_URL", "http://127.0.0.1:8080"), env.get("RC_API_KEY"));
        try {
            switch (args.length == 0 ? "" : args[0]) {
                case "tree" -> OUT.print(backend.patchTree(args[1], args[2]));
                case "notice" -> OUT.print(backend.notify(args[1], args[2]));
                case "listen" -> listen(env.getOrDefault("RC_LISTEN", "127.0.0.1:8000"), env.get("RC_WEBHOOK_SECRET"));
                default -> throw new IOException("usage: java Backend.java tree CONFERENCE JSON | notice IDEMPOTENCY-KEY JSON | listen");
            }
        } catch (IOException e) {
            System.err.println(e.getMessage());
            System.exit(1);
        }
    }
}
