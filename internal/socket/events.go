package socket

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"unicode/utf8"

	"rollcall/internal/fault"
	"rollcall/internal/presence"
	"rollcall/internal/rawjson"
	"rollcall/internal/rescue"
)

// answer is what a client gets back for an event: fields beside ok, or an error.
type answer map[string]any

// handler does what an event asks for. It runs in the seat's lane and may take its time.
type handler func(s *seat, arg json.RawMessage) (answer, error)

// The events that clients may send. Others are ignored: a newer client may know more than we do.
var handlers = map[string]handler{
	"jywsping":             (*seat).onHeartbeat,
	"user_login":           (*seat).onLogin,
	"leave":                (*seat).onLeave,
	"roster":               (*seat).onRoster,
	"watch":                (*seat).onWatch,
	"unwatch":              (*seat).onUnwatch,
	"tree_resync":          (*seat).onResync,
	"receive_client_event": (*seat).onClientEvent,
	"chat message":         (*seat).onChat,
	"chat_history":         (*seat).onChatHistory,
	"direct_message":       (*seat).onDirect,
	"todo":                 (*seat).onTodo,
	"notice_ack":           (*seat).onNoticeAck,
	"notice_read":          (*seat).onNoticeRead,
	"inbox":                (*seat).onInbox,
	"sign_in":              (*seat).onSignIn,
	"same_screen":          (*seat).onSameScreen,
	"reauth":               (*seat).onReauth,
}

// dispatch is called by the library with every event of the seat that is not too much (see intake), one after another: the
// name, the argument, and the ackID if an answer is wanted.
func (s *seat) dispatch(args ...any) {
	name, _ := args[0].(string)
	reply := s.replyTo(args[len(args)-1])
	h := handlers[name]
	if h == nil {
		s.door.metrics.events.WithLabelValues(otherEvent, "ignored").Inc()
		return
	}
	arg, err := argument(args)
	if err != nil {
		s.door.metrics.events.WithLabelValues(name, "bad_payload").Inc()
		reply(nil, err)
		return
	}
	queued := s.lane.do(func() {
		if gone, why := s.isGone(); gone && why == presence.Kicked { // it waited while its sender was sent out
			return
		}
		s.attempt("event "+name, func() {
			a, err := s.handle(h, name, arg)
			s.door.metrics.events.WithLabelValues(name, outcome(err)).Inc()
			reply(a, err)
			if errors.Is(err, rescue.ErrPanic) {
				s.drop() // once it is answered
			}
		})
	})
	if !queued {
		s.door.metrics.events.WithLabelValues(name, "rate_limited").Inc()
		reply(nil, fault.New(fault.RateLimited, "rate_limited", "too many events wait for their answer"))
	}
}

// handle calls h; a panic in it becomes an error.
func (s *seat) handle(h handler, name string, arg json.RawMessage) (a answer, err error) {
	err = s.door.Net.Try("event "+name, func() (err error) {
		a, err = h(s, arg)
		return err
	})
	return a, err
}

// otherEvent is what metrics call the events that we do not know.
const otherEvent = "other"

func known(name string) string {
	if handlers[name] == nil {
		return otherEvent
	}
	return name
}

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return code(fault.Of(err))
}

// argument returns the argument of an event, nil if there is none.
func argument(args []any) (json.RawMessage, error) {
	if len(args) < 2 {
		return nil, nil
	}
	switch a := args[1].(type) {
	case json.RawMessage:
		if !utf8.Valid(a) { // handed on, it would cost everybody who receives it his connection
			return nil, fault.Invalidf("the argument is not valid UTF-8")
		}
		return a, nil
	case error:
		return nil, fault.Invalidf("the argument is %v", a)
	}
	return nil, nil
}

// replyTo returns what answers an event: nothing if no answer is wanted.
func (s *seat) replyTo(last any) func(answer, error) {
	if ack, ok := last.(ackID); ok {
		return func(a answer, err error) { s.answer(ack, a, err) }
	}
	return func(_ answer, err error) { s.logInternal(err) }
}

// body puts an answer together.
func body(a answer, err error) map[string]any {
	if err != nil {
		f := fault.Of(err)
		return map[string]any{"ok": false, "error": map[string]any{"code": code(f), "message": f.Message}}
	}
	full := map[string]any{"ok": true}
	for k, v := range a {
		full[k] = v
	}
	return full
}

func (s *seat) answer(ack ackID, a answer, err error) {
	tree, ok := a["tree"].(treeAnswer)
	if s.send(ack, a, err) != stale || !ok {
		return
	}
	// A newer tree was pushed while this one was read: the newest that is committed is not older.
	a, err = s.committedTree(tree.conferenceID)
	if s.send(ack, a, err) == stale {
		s.send(ack, nil, fault.New(fault.Unavailable, "unavailable", "the tree changes faster than it can be read, wait for note_tree"))
	}
}

// send queues the answer to an event.
func (s *seat) send(ack ackID, a answer, err error) verdict {
	s.logInternal(err)
	text, e := rawjson.Encode(body(a, err))
	if e != nil {
		s.logInternal(e)
		return closed
	}
	f := answerFrame(ack, text)
	if tree, ok := a["tree"].(treeAnswer); ok {
		f.stream, f.version, f.again = treeStream(tree.conferenceID), tree.version, true
	}
	return s.push(f)
}

func answerFrame[T string | []byte](ack ackID, body T) *frame {
	b := make([]byte, headroom, headroom+len("43[]")+maxDigits+len(body))
	b = strconv.AppendUint(append(b, "43"...), uint64(ack), 10)
	return sealed(append(append(append(b, '['), body...), ']'), false)
}

// logInternal logs what the client is not told. A panic is in the log already.
func (s *seat) logInternal(err error) {
	if err != nil && fault.Of(err).Kind == fault.Internal && !errors.Is(err, rescue.ErrPanic) {
		s.door.Log.Error("an event could not be handled", slog.String("user", s.person().userID), slog.Any("error", err))
	}
}

// code maps a fault to one of the codes of the protocol.
func code(f *fault.Error) string {
	switch f.Kind {
	case fault.Invalid:
		return "bad_payload"
	case fault.TooLarge:
		return "too_large"
	case fault.Unauthorized:
		return "unauthorized"
	case fault.Forbidden:
		return "forbidden"
	case fault.NotFound:
		return "not_found"
	case fault.Conflict, fault.Precondition:
		if f.Code == "conference_ended" || f.Code == "no_conference" {
			return f.Code
		}
		return "conflict"
	case fault.RateLimited:
		return "rate_limited"
	case fault.Unavailable:
		return "unavailable"
	}
	return "internal"
}

// decode reads an event's argument, which may be left out, into v. Unknown fields are ignored.
func decode(arg json.RawMessage, v any) error {
	if rawjson.Blank(arg) {
		return nil
	}
	if err := json.Unmarshal(arg, v); err != nil {
		return fault.Invalidf("the argument has the wrong shape")
	}
	return nil
}
