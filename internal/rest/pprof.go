package rest

import (
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
)

const (
	usualProfile   = 30  // seconds that a profile takes at most of which nobody says how many
	longestProfile = 600 // seconds
)

// profiles serves what net/http/pprof knows, but for the command line: that may hold secrets.
func (d *Door) profiles() {
	const path = "/debug/pprof/"
	d.plain("pprof", path, d.behind(admin, gin.WrapF(pprof.Index)))
	d.plain("pprof", path+"symbol", d.behind(admin, gin.WrapF(pprof.Symbol)))
	d.plain("pprof", path+"profile", d.profile(http.HandlerFunc(pprof.Profile)))
	d.plain("pprof", path+"trace", d.profile(http.HandlerFunc(pprof.Trace)))
	for _, name := range []string{"allocs", "block", "goroutine", "heap", "mutex", "threadcreate"} {
		d.plain("pprof", path+name, d.profile(pprof.Handler(name)))
	}
}

// profile takes one profile at a time: each costs something, and of some there cannot be two.
func (d *Door) profile(h http.Handler) gin.HandlerFunc {
	return d.behind(admin, func(c *gin.Context) {
		seconds := 0
		if text := c.Query("seconds"); text != "" {
			var err error
			if seconds, err = strconv.Atoi(text); err != nil || seconds < 1 || seconds > longestProfile {
				refuse(c, newProblem(http.StatusUnprocessableEntity, "bad_payload", "seconds must be a whole number from 1 to 600"))
				return
			}
		}
		if !d.profiling.TryLock() {
			refuse(c, newProblem(http.StatusConflict, "conflict", "another profile is being taken"))
			return
		}
		defer d.profiling.Unlock()
		// Some begin to answer at once and end when the time is over.
		visitOf(c.Request.Context()).patience += time.Duration(max(seconds, usualProfile)) * time.Second
		h.ServeHTTP(c.Writer, c.Request)
	})
}
