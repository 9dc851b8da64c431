package webhook

import (
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"rollcall/internal/fault"
	"rollcall/internal/id"
	"rollcall/internal/rawjson"
)

const (
	maxType = 32      // width of the column, in characters
	maxBody = 1 << 20 // bytes; what a socket may send us is much less
	stamp   = "2006-01-02T15:04:05.000Z07:00"
)

// letter is an event for one endpoint, complete but for its number.
type letter struct {
	row        outboxRow
	head, tail []byte // of the body, around the number; a plain body is head alone
	plain      bool
}

// lane returns where the letter stands in line.
func (l letter) lane() lane { return lane{l.row.Endpoint, l.row.ConferenceID} }

// numbered returns the row to insert.
func (l letter) numbered(seq int64) outboxRow {
	r := l.row
	r.Seq = seq
	if r.Body = string(l.head); !l.plain {
		r.Body = fmt.Sprintf("%s%d%s", l.head, seq, l.tail)
	}
	return r
}

// letters returns what the endpoints are to be told of the events, in their order.
func (o *Outbox) letters(events []Event) ([]letter, error) {
	var list []letter
	now := time.Now().UnixMilli()
	for _, event := range events {
		var head, tail []byte // encoded once for all endpoints
		for _, e := range o.endpoints {
			if !e.wants(event) {
				continue
			}
			l := letter{plain: e.plain, row: outboxRow{ID: id.New(), Endpoint: e.key, URL: e.shown, ConferenceID: event.ConferenceID, Type: event.Type, State: pending, CreatedAt: now}}
			if event.At == 0 {
				event.At = now
			}
			if err := checkEvent(event); err != nil {
				return nil, err
			}
			if !e.plain && head == nil {
				var err error
				if head, tail, err = encode(event); err != nil {
					return nil, err
				}
			}
			if l.head, l.tail = head, tail; e.plain {
				l.head, l.tail = event.Plain, nil
			}
			list = append(list, l)
		}
	}
	return list, nil
}

func checkEvent(e Event) error {
	if n := utf8.RuneCountInString(e.Type); n < 1 || n > maxType || !utf8.ValidString(e.Type) {
		return fault.Invalidf("the type of an event has 1 to %d characters", maxType)
	}
	if e.ConferenceID != "" && id.Check(e.ConferenceID) != nil {
		return fault.New(fault.Invalid, "bad_id", "the conference of an event is no id")
	}
	if e.Plain != nil && (!json.Valid(e.Plain) || !utf8.Valid(e.Plain)) {
		return fault.Invalidf("the plain body of an event is not JSON")
	}
	if len(e.Plain) > maxBody {
		return fault.New(fault.TooLarge, "too_large", fmt.Sprintf("an event has at most %d bytes", maxBody))
	}
	return nil
}

// encode returns the body of an event before and after its number. It is put together from text, so that every retry,
// and every endpoint, gets the same bytes.
func encode(e Event) (head, tail []byte, err error) {
	fixed, err := rawjson.Encode(struct {
		Type      string `json:"type"`
		Timestamp string `json:"timestamp"`
	}{e.Type, time.UnixMilli(e.At).UTC().Format(stamp)})
	if err != nil {
		return nil, nil, fmt.Errorf("encode event %s: %w", e.Type, err)
	}
	more := make(map[string]any, len(e.Data))
	for k, v := range e.Data {
		if k != "conferenceId" && k != "seq" && k != "at" {
			more[k] = v
		}
	}
	data, err := rawjson.Encode(more)
	if err != nil {
		return nil, nil, fmt.Errorf("encode data of event %s: %w", e.Type, err)
	}
	if len(data) > maxBody {
		return nil, nil, fault.New(fault.TooLarge, "too_large", fmt.Sprintf("an event has at most %d bytes", maxBody))
	}
	head = append(fixed[:len(fixed)-1], `,"data":{`...)
	if e.ConferenceID != "" {
		head = fmt.Appendf(head, `"conferenceId":"%s",`, e.ConferenceID) // an id has nothing to escape
	}
	head = append(head, `"seq":`...)
	tail = fmt.Appendf(nil, `,"at":%d`, e.At)
	if len(more) > 0 {
		tail = append(append(tail, ','), data[1:len(data)-1]...)
	}
	return head, append(tail, "}}"...), nil
}
