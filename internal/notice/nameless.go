package notice

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
)

// nameless takes the names of senders out of what this service wrote around what was said: the notice that clients
// see, and a message from one user to another. What backends and users wrote stays as it is, to the byte, and so all is
// done on text: the functions of databases write numbers anew.
func nameless(rows *gorm.DB) error {
	rows = rows.Session(&gorm.Session{})
	var ids []string
	err := rows.Where("sender_name <> '' AND (COALESCE(envelope, '') <> '' OR event = 'notice')").Pluck("id", &ids).Error
	if err != nil {
		return fmt.Errorf("find messages with a name: %w", err)
	}
	tx := rows.Session(&gorm.Session{NewDB: true})
	for part := range slices.Chunk(ids, fullRows) {
		var list []noticeRow
		if err := tx.Select("id", "event", "message", "envelope").Where("id IN ?", part).Find(&list).Error; err != nil {
			return fmt.Errorf("read messages with a name: %w", err)
		}
		for _, r := range list {
			if err := tx.Model(&noticeRow{}).Where("id = ?", r.ID).Updates(r.nameless()).Error; err != nil {
				return fmt.Errorf("write a message without its name: %w", err)
			}
		}
	}
	return nil
}

// nameless returns the columns of a row without the name of its sender.
func (r noticeRow) nameless() map[string]any {
	switch {
	case r.Envelope == "":
		r.Message = r.blank(r.Message, "senderName")
	case r.Event == "direct_message":
		r.Message = r.blank(r.Message, "fromName")
	}
	return map[string]any{"message": r.Message, "envelope": r.blank(r.Envelope, "senderName")}
}

// blank empties a field of an object, if it is one of ours: those bear the ID of their row.
func (r noticeRow) blank(text, field string) string {
	var own struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(text), &own); err != nil || own.ID != r.ID {
		return text
	}
	d := json.NewDecoder(strings.NewReader(text))
	_, _ = d.Token() // the brace; that the rest can be read was just seen
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return text
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return text
		}
		if end := int(d.InputOffset()); name == field {
			return text[:end-len(value)] + `""` + text[end:]
		}
	}
	return text
}
