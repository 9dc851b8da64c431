package rest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"rollcall/internal/auth"
	"rollcall/internal/rescue"
	"rollcall/internal/store"
	"rollcall/internal/storetest"
)

// ask opens a connection to a server and sends what is given, byte for byte.
func ask(t *testing.T, server *httptest.Server, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestBodiesThatDoNotCome: the server wants to have the rest of a request before it answers. A client that announces a body and
// never sends it once kept the answer of a call that reads none, and so the connection, for as long as it liked.
func TestBodiesThatDoNotCome(t *testing.T) {
	b := openLocked(t, storetest.Open(t, store.SQLite))
	server := httptest.NewServer(b.Door)
	t.Cleanup(server.Close)
	key := "Authorization: Bearer " + keyOfRole(auth.Admin) + "\r\n"
	for _, c := range []struct {
		line, key, length string
		status            int
	}{
		{"POST /api/v1/sessions/s1/disconnect", key, "Content-Length: 1000", 200},
		{"POST /api/v1/sessions/s1/disconnect", key, "Transfer-Encoding: chunked", 200},
		{"GET /api/v1/conferences", key, "Content-Length: 1000", 200},
		{"DELETE /api/v1/users/7", key, "Content-Length: 1000", 204},
		{"PUT /api/v1/users/7", "", "Content-Length: 1000", 401},
		{"GET /healthz", "", "Content-Length: 1000", 200},
		{"POST /nowhere", "", "Content-Length: 1000", 404},
	} {
		t.Run(c.line+" "+c.length, func(t *testing.T) {
			t.Parallel()
			conn := ask(t, server, c.line+" HTTP/1.1\r\nHost: x\r\n"+c.key+c.length+"\r\n\r\n")
			_ = conn.SetReadDeadline(time.Now().Add(bodyTimeout / 2))
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, conn); err != nil || answer.StatusCode != c.status || !answer.Close {
				t.Errorf("%s %v, closed: %v, want %d", answer.Status, err, answer.Close, c.status)
			}
		})
	}
}

// TestLateBody: a body that comes a moment after the headers, as some clients send it, costs nobody his connection.
func TestLateBody(t *testing.T) {
	b := openLocked(t, storetest.Open(t, store.SQLite))
	server := httptest.NewServer(b.Door)
	t.Cleanup(server.Close)
	head := "POST /api/v1/sessions/s1/disconnect HTTP/1.1\r\nHost: x\r\nX-API-Key: " + keyOfRole(auth.Admin) + "\r\nContent-Length: 2\r\n\r\n"
	conn := ask(t, server, head)
	in := bufio.NewReader(conn)
	for range 3 {
		if _, err := io.WriteString(conn, "{}"+head); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != 200 {
			t.Fatalf("%s %v", answer.Status, err)
		}
	}
}

// deadEnd is a way to a client that has gone.
type deadEnd struct{ *httptest.ResponseRecorder }

func (deadEnd) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestAnswersThatNobodyReads: a client that asks and does not read loses its connection. That is no bug of ours, and is not
// counted as one: the library below panics when it cannot write.
func TestAnswersThatNobodyReads(t *testing.T) {
	b := openLocked(t, storetest.Open(t, store.SQLite), func(c *Config) { c.Net = rescue.New(c.Log, c.Metrics) })
	b.patience = 300 * time.Millisecond
	var members []string
	for i := range 4 {
		members = append(members, fmt.Sprintf(`{"userId":%d,"attrs":{"text":%q}}`, i+1, strings.Repeat("x", 60000)))
	}
	b.must(201, "PUT", "/conferences/42/members", `{"members":[`+strings.Join(members, ",")+`]}`, by(auth.Backend)...)
	closed := make(chan struct{}, 10)
	server := httptest.NewUnstartedServer(b.Door)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			closed <- struct{}{}
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	one := "GET /api/v1/conferences/42/members HTTP/1.1\r\nHost: x\r\nX-API-Key: " + keyOfRole(auth.Viewer) + "\r\n\r\n"
	ask(t, server, strings.Repeat(one, 100)) // more than the buffers on both sides hold
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Fatal("the connection is still open")
	}
	func() {
		defer func() {
			if p := recover(); p != http.ErrAbortHandler {
				t.Errorf("the connection was not given up: %v", p)
			}
		}()
		r := httptest.NewRequest("GET", prefix+"/conferences", nil)
		r.Header.Set("X-API-Key", keyOfRole(auth.Viewer))
		b.ServeHTTP(deadEnd{httptest.NewRecorder()}, r)
	}()
	if text := b.do("GET", "/metrics", "", by(auth.Viewer)...).Body.String(); strings.Contains(text, "rollcall_panics_total{") {
		t.Error("a client that does not read was counted as a bug")
	}
}

// patientWriter notes each time that a client is given.
type patientWriter struct {
	*httptest.ResponseRecorder
	given []time.Time
}

func (w *patientWriter) SetWriteDeadline(at time.Time) error {
	w.given = append(w.given, at)
	return nil
}

// TestSlowReaderOfMuch: there was one deadline for the whole of an answer, so that who read steadily but slowly never got to the
// end of a large one.
func TestSlowReaderOfMuch(t *testing.T) {
	to := &patientWriter{ResponseRecorder: httptest.NewRecorder()}
	w := &outlet{ResponseWriter: to, visit: &visit{patience: time.Minute}}
	text := []byte(strings.Repeat("0123456789", 200_000))
	w.WriteHeader(200)
	for _, part := range [][]byte{text, nil, text[:1]} {
		if n, err := w.Write(part); n != len(part) || err != nil {
			t.Errorf("%d of %d, %v", n, len(part), err)
		}
	}
	if len(to.given) < 1+len(text)/chunkSize+2 || to.Body.String() != string(text)+"0" {
		t.Errorf("%d times for %d bytes", len(to.given), to.Body.Len())
	}
}

// TestProblemInsteadOfAFile: what went wrong before the first row was told as a file for spreadsheets.
func TestProblemInsteadOfAFile(t *testing.T) {
	w := httptest.NewRecorder()
	c, _ := gin.CreateTestContext(w)
	c.Header("Content-Type", "text/csv; charset=utf-8")
	c.Header("Content-Disposition", "attachment")
	c.Header("ETag", `"1"`)
	refuse(c, newProblem(http.StatusServiceUnavailable, "unavailable", "try again"))
	if h := w.Header(); h.Get("Content-Type") != problemType || h.Get("ETag") != "" || h.Get("Content-Disposition") != "" || h.Get("Retry-After") == "" {
		t.Errorf("it is said as %v", h)
	}
}
