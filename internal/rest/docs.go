package rest

import (
	"embed"
	"net/http"

	"github.com/gin-gonic/gin"
)

// pages is the page that shows the OpenAPI document. All of it is ours, and it asks nobody else for anything.
//
//go:embed docs/index.html docs/docs.js docs/docs.css docs/docs.svg
var pages embed.FS

const docsPolicy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"

func (d *Door) docs() {
	for path, file := range map[string][2]string{
		"/docs":          {"docs/index.html", "text/html; charset=utf-8"},
		"/docs/docs.js":  {"docs/docs.js", "text/javascript; charset=utf-8"},
		"/docs/docs.css": {"docs/docs.css", "text/css; charset=utf-8"},
		"/docs/docs.svg": {"docs/docs.svg", "image/svg+xml"},
	} {
		d.plain("docs", path, func(c *gin.Context) {
			body, err := pages.ReadFile(file[0])
			if err != nil {
				refuse(c, newProblem(http.StatusNotFound, "not_found", "there is nothing here")) // cannot be: it is embedded
				return
			}
			c.Header("Content-Security-Policy", docsPolicy)
			c.Header("Cache-Control", "no-cache")
			c.Data(http.StatusOK, file[1], body)
		})
	}
}
