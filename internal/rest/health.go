package rest

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"rollcall/internal/fault"
)

// healthz answers while the process lives.
func (d *Door) healthz(c *gin.Context) {
	c.JSON(http.StatusOK, struct {
		Status  string `json:"status"`
		Node    string `json:"node"`
		Version string `json:"version"`
	}{"ok", d.NodeID, d.Version})
}

// readyz says whether the node can do its work, and if not, what is missing.
func (d *Door) readyz(c *gin.Context) {
	answer := struct {
		Status string            `json:"status"`
		Checks map[string]string `json:"checks"`
	}{"ok", map[string]string{}}
	code := http.StatusOK
	for name, err := range d.Ready(c.Request.Context()) {
		answer.Checks[name] = "ok"
		if err != nil {
			answer.Checks[name] = outward(name, err)
			answer.Status, code = "unavailable", http.StatusServiceUnavailable
		}
	}
	if code != http.StatusOK {
		c.Header("Retry-After", retryAfter)
	}
	c.JSON(code, answer)
}

// draining is the check that says that the node is about to stop: no failure, so its text tells nothing.
const draining = "draining"

// outward is what may be told of an error that a check found: a fault's message, which holds no internals, but no other
// text. Everybody may ask.
func outward(check string, err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Message
	}
	if check == draining {
		return err.Error()
	}
	return "does not answer"
}
