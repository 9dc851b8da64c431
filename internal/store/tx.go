package store

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"time"

	"gorm.io/gorm"
)

// attempts is how often a transaction is tried when the database asks for a retry.
const attempts = 5

type txKey struct{}

// transaction is the one that a context carries, and what is to be done once it is committed.
type transaction struct {
	tx      *gorm.DB
	after   []func()
	witness func(ctx context.Context) (bool, error) // nil: nobody can tell whether it was committed
}

// Write runs fn in one transaction and commits it. Within a transaction of ctx it joins that one instead. fn
// may run several times, when the database reports a deadlock or a lock wait, or when its connection ends before
// the commit; it must have no effect but through tx and AfterCommit. An error of fn rolls back and is returned; when the database itself is away the
// error is a fault of kind Unavailable.
func (d *DB) Write(ctx context.Context, fn func(ctx context.Context, tx *gorm.DB) error) error {
	if t, ok := ctx.Value(txKey{}).(*transaction); ok {
		return fn(ctx, t.tx)
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	var err, own error // own is that of fn
	for try := range attempts {
		if try > 0 && !pause(ctx, try) {
			break
		}
		var t transaction
		own = nil
		err = d.write.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			t = transaction{tx: tx}
			own = fn(context.WithValue(ctx, txKey{}, &t), tx)
			return own
		}) // on MySQL every connection is set to READ COMMITTED
		if err == nil || own == nil && away(err) && d.happened(ctx, t.witness) {
			d.transactions.Add(1)
			for _, f := range t.after {
				f()
			}
			return nil
		}
		if !retryable(err) && !cutOff(own) {
			break
		}
	}
	return translate(err)
}

// Witness says how to find out, on another connection, whether the transaction that ctx carries was committed: Write asks f when
// the answer to COMMIT is lost, and if it was, does what AfterCommit was given and returns nil. The last witness counts. Without a
// transaction it does nothing.
func Witness(ctx context.Context, f func(ctx context.Context) (committed bool, err error)) {
	if t, ok := ctx.Value(txKey{}).(*transaction); ok {
		t.witness = f
	}
}

// happened asks a witness until he can tell, for as long as a transaction may take. That he has seen nothing counts only when he has
// said so several times: the server may still be at the COMMIT.
func (d *DB) happened(ctx context.Context, witness func(context.Context) (bool, error)) bool {
	if witness == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.timeout)
	defer cancel()
	for try, denied := 1, 0; denied < attempts; try++ {
		switch yes, err := witness(Outside(ctx)); {
		case err == nil && yes:
			return true
		case err == nil:
			denied++
		}
		if !pause(ctx, min(try, attempts)) {
			return false
		}
	}
	return false
}

// AfterCommit calls f once the transaction that ctx carries is committed, and never if it is rolled back.
// Without a transaction it calls f at once.
func AfterCommit(ctx context.Context, f func()) {
	if t, ok := ctx.Value(txKey{}).(*transaction); ok {
		t.after = append(t.after, f)
		return
	}
	f()
}

// InTransaction reports whether ctx carries a transaction, so that Write would join it.
func InTransaction(ctx context.Context) bool {
	_, ok := ctx.Value(txKey{}).(*transaction)
	return ok
}

// Outside returns ctx without the transaction it carries, for what AfterCommit does.
func Outside(ctx context.Context) context.Context {
	return context.WithValue(ctx, txKey{}, nil)
}

// Read runs fn on one consistent snapshot of the database, or in the transaction of ctx if it carries one.
// fn must not write.
func (d *DB) Read(ctx context.Context, fn func(ctx context.Context, tx *gorm.DB) error) error {
	if t, ok := ctx.Value(txKey{}).(*transaction); ok {
		return fn(ctx, t.tx)
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	var t transaction
	err := d.read.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		t = transaction{tx: tx}
		return fn(context.WithValue(ctx, txKey{}, &t), tx)
	}, d.oneSnapshot())
	if err == nil {
		for _, f := range t.after {
			f()
		}
	}
	return translate(err)
}

// ReadOne is Read for an fn that asks one thing: a statement by itself needs no transaction to be consistent, which would be two more.
func (d *DB) ReadOne(ctx context.Context, fn func(ctx context.Context, tx *gorm.DB) error) error {
	if t, ok := ctx.Value(txKey{}).(*transaction); ok {
		return fn(ctx, t.tx)
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	return translate(fn(ctx, d.read.WithContext(ctx)))
}

// oneSnapshot are the options of a transaction that sees the database as it was at one moment. SQLite has one level of isolation,
// serializable, and its driver refuses others.
func (d *DB) oneSnapshot() *sql.TxOptions {
	if d.dialect == SQLite {
		return nil
	}
	return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
}

// pause waits a little longer with every try, with jitter so that rivals do not meet again. It reports whether
// there is time left.
func pause(ctx context.Context, try int) bool {
	base := time.Duration(try*try) * 5 * time.Millisecond
	select {
	case <-time.After(base + rand.N(base)):
		return true
	case <-ctx.Done():
		return false
	}
}

// Pairs returns a condition that holds for rows whose two columns equal one of the pairs, and for which the conditions and hold. Pairs that
// share a value stand together, "a = ? AND b IN (...)": MariaDB takes a hundred times as long to plan for each of them alone. It is a chain
// of ORs because that is what all three databases answer by an index, with and in each of them: before the ORs, SQLite would take the index
// for that. At most about 250 pairs: SQLite bounds the depth of an expression.
func Pairs(tx *gorm.DB, a, b string, pairs [][2]string, and ...string) *gorm.DB {
	cond := tx.Session(&gorm.Session{NewDB: true})
	if len(pairs) == 0 {
		return cond.Where("1 = 0") // gorm would leave an empty condition out, and so find every row
	}
	common, other := 0, 1
	if distinct(pairs, 1) < distinct(pairs, 0) {
		a, b, common, other = b, a, 1, 0
	}
	groups := map[string][]string{}
	var order []string
	for _, p := range pairs {
		if groups[p[common]] == nil {
			order = append(order, p[common])
		}
		groups[p[common]] = append(groups[p[common]], p[other])
	}
	where := fmt.Sprintf("%s = ? AND %s IN ?", a, b)
	for _, more := range and {
		where += " AND " + more
	}
	for _, value := range order {
		cond = cond.Or(where, value, groups[value])
	}
	return cond
}

// distinct returns how many different values are at place i of pairs.
func distinct(pairs [][2]string, i int) int {
	seen := make(map[string]struct{}, len(pairs))
	for _, p := range pairs {
		seen[p[i]] = struct{}{}
	}
	return len(seen)
}
