module rollcall/bench

go 1.26.0

require (
	github.com/go-sql-driver/mysql v1.10.1
	github.com/lxzan/gws v1.8.9
	golang.org/x/sys v0.50.0
)

require (
	filippo.io/edwards25519 v1.2.0 // indirect
	github.com/dolthub/maphash v0.1.0 // indirect
	github.com/klauspost/compress v1.17.9 // indirect
)
