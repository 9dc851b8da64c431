package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"gorm.io/gorm"

	"rollcall/internal/fault"
	"rollcall/internal/rawjson"
	"rollcall/internal/store"
)

const (
	keyLifetime = 24 * time.Hour
	maxKey      = 255       // characters of an Idempotency-Key
	trimEvery   = time.Hour // how often keys that are over are deleted
	trimBatch   = 500       // of them in one transaction, so that none is long
)

var (
	errInFlight = fault.New(fault.Conflict, "idempotency_in_flight", "a request with this Idempotency-Key is being worked on")
	errMismatch = fault.New(fault.Invalid, "idempotency_mismatch", "this Idempotency-Key was used with another body")
)

// key is an Idempotency-Key as the table knows it.
type key struct {
	id     string // digest of caller, method, path and key
	digest string // of the body
}

// keyRow is a row of idempotency_keys. It is written in the transaction of the effect, so both are there or neither.
type keyRow struct {
	ID         string `gorm:"primaryKey"`
	BodyDigest string
	Status     int
	Answer     string
	CreatedAt  int64 `gorm:"autoCreateTime:false"` // milliseconds since 1970
}

// TableName implements gorm's Tabler.
func (keyRow) TableName() string { return "idempotency_keys" }

// keyOf reads the Idempotency-Key of a request, nil if it has none.
func keyOf(r *http.Request, caller Caller, body []byte) (*key, *problem) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return nil, nil
	}
	if len(values) > 1 || !printable(values[0]) {
		return nil, newProblem(http.StatusUnprocessableEntity, "bad_idempotency_key", "an Idempotency-Key must have 1 to 255 printable ASCII characters")
	}
	return &key{digest(append(caller.parts(), r.Method, r.URL.Path, values[0])...), digest(string(body))}, nil
}

func printable(s string) bool {
	return s != "" && len(s) <= maxKey && strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) < 0
}

// digest is the SHA-256 of parts, each with its length, so that their borders count.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// flights are the keys that this process is working on. mu guards busy.
type flights struct {
	mu   sync.Mutex
	busy map[string]bool
}

// begin reports whether nobody else here works on the key. Then end must follow.
func (f *flights) begin(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.busy[id] {
		return false
	}
	if f.busy == nil {
		f.busy = map[string]bool{}
	}
	f.busy[id] = true
	return true
}

func (f *flights) end(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.busy, id)
}

// once lets handle happen in one transaction with the row of its key, or gives the answer that was given before. An
// error of handle leaves nothing behind, so that the same request may be tried again.
func once[B any](ctx context.Context, d *Door, k key, handle func(context.Context) (*answer[B], error)) (*answer[B], error) {
	if !d.flights.begin(k.id) {
		return nil, errInFlight
	}
	defer d.flights.end(k.id)
	var out *answer[B]
	err := d.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		kept, fresh, err := claim(tx, k)
		switch {
		case err != nil:
			return err
		case !fresh:
			out, err = again[B](kept, k)
			return err
		}
		if out, err = handle(ctx); err != nil {
			return err
		}
		text, err := keep(tx, k, out.Status, out.Body)
		store.Witness(ctx, func(ctx context.Context) (bool, error) { return d.answered(ctx, k, kept.CreatedAt, text) })
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// answered reports whether the row of a key is the one that was made at a time and has this answer, and not that of the same request
// to another node.
func (d *Door) answered(ctx context.Context, k key, at int64, answer string) (bool, error) {
	var row keyRow
	err := d.DB.ReadOne(ctx, func(_ context.Context, tx *gorm.DB) error { return tx.Where("id = ?", k.id).Limit(1).Find(&row).Error })
	return row.CreatedAt == at && row.Answer == answer, err
}

// claim makes the row of a key, or returns the one that is there. A node that makes the same row holds its lock until
// it commits; waiting for that in vain means that the request is in flight.
func claim(tx *gorm.DB, k key) (kept keyRow, fresh bool, err error) {
	now := time.Now()
	if err := tx.Where("id = ? AND created_at < ?", k.id, now.Add(-keyLifetime).UnixMilli()).Delete(&keyRow{}).Error; err != nil {
		return keyRow{}, false, unlessHeld("forget old idempotency key", err)
	}
	kept = keyRow{ID: k.id, BodyDigest: k.digest, CreatedAt: now.UnixMilli()}
	err = tx.Create(&kept).Error
	if err == nil {
		return kept, true, nil
	}
	kept = keyRow{}
	if !store.Duplicate(err) {
		return keyRow{}, false, unlessHeld("claim idempotency key", err)
	}
	if err := tx.Where("id = ?", k.id).Take(&kept).Error; err != nil {
		return keyRow{}, false, fmt.Errorf("read idempotency key: %w", err)
	}
	return kept, false, nil
}

func unlessHeld(what string, err error) error {
	if store.LockHeld(err) {
		return errInFlight
	}
	return fmt.Errorf("%s: %w", what, err)
}

// keep stores the answer in the row that claim made, and returns its text.
func keep(tx *gorm.DB, k key, status int, body any) (answer string, err error) {
	text, err := rawjson.Encode(body)
	if err != nil {
		return "", fmt.Errorf("encode answer: %w", err)
	}
	err = tx.Model(&keyRow{}).Where("id = ?", k.id).Updates(map[string]any{"status": status, "answer": string(text)}).Error
	if err != nil {
		return "", fmt.Errorf("keep answer: %w", err)
	}
	return string(text), nil
}

// again makes the answer anew from its row.
func again[B any](kept keyRow, k key) (*answer[B], error) {
	if kept.BodyDigest != k.digest {
		return nil, errMismatch
	}
	out := &answer[B]{Status: kept.Status, Replayed: "true"}
	if err := json.Unmarshal([]byte(kept.Answer), &out.Body); err != nil {
		return nil, fmt.Errorf("read kept answer: %w", err)
	}
	return out, nil
}

// Run deletes idempotency keys that are older than 24 hours, at once and then hourly, until ctx ends.
func (d *Door) Run(ctx context.Context) error {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for {
		if err := d.Net.Try("rest trim", func() error { return d.trim(ctx) }); err != nil && ctx.Err() == nil {
			d.Log.Warn("could not trim idempotency keys, trying again in an hour", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (d *Door) trim(ctx context.Context) error {
	for {
		var old []string
		err := d.DB.Write(ctx, func(_ context.Context, tx *gorm.DB) error {
			cutoff := time.Now().Add(-keyLifetime).UnixMilli()
			if err := tx.Model(&keyRow{}).Where("created_at < ?", cutoff).Order("created_at").Limit(trimBatch).Pluck("id", &old).Error; err != nil {
				return fmt.Errorf("find old idempotency keys: %w", err)
			}
			if len(old) == 0 {
				return nil
			}
			if err := tx.Where("id IN ?", old).Delete(&keyRow{}).Error; err != nil {
				return fmt.Errorf("delete old idempotency keys: %w", err)
			}
			return nil
		})
		if err != nil || len(old) < trimBatch {
			return err
		}
	}
}
