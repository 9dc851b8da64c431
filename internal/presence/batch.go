package presence

import (
	"context"
	"slices"

	"gorm.io/gorm"

	"rollcall/internal/fault"
)

// batch is one transaction of the writer: ops, what was read for them, and what follows. It is made anew for
// every attempt. Between read and store nothing touches the database.
type batch struct {
	ops        []*op
	outcomes   []outcome // of ops, by index
	duplicates string
	grace      int64

	// Read, under the lock of the conferences.
	versions map[string]Versions
	now      int64
	known    map[string]sessionRow // rows of the ops' sessions, by id
	open     map[pair][]string     // ids of open sessions; kept up to date by apply
	was      map[pair]presenceRow
	away     map[string]int // open sessions on other nodes, by user
	names    names

	// Found out.
	deeds    map[pair]*deed
	named    map[pair]naming // by the last open
	roles    map[pair]string // of the last token that said one
	rows     map[string]sessionRow
	reopened map[string]sessionRow
	is       []presenceRow // to be written
	changes  []Change
	moved    map[string]int // by how much the online number of a conference changes
}

func newBatch(ops []*op, c Config) *batch {
	return &batch{
		ops: ops, outcomes: make([]outcome, len(ops)), duplicates: c.Duplicates, grace: c.Grace.Milliseconds(),
		deeds: map[pair]*deed{}, named: map[pair]naming{}, roles: map[pair]string{},
		rows: map[string]sessionRow{}, reopened: map[string]sessionRow{}, moved: map[string]int{},
	}
}

// fence returns the clock of the database if a transaction may write in the name of an epoch, and sees to it that
// this stays so until tx ends.
type fence func(tx *gorm.DB, epoch int64) (now int64, err error)

// commit writes ops in one transaction. Its error concerns the transaction; b.outcomes has the answers.
func (p *Presence) commit(ctx context.Context, ops []*op, fence fence) (b *batch, err error) {
	err = p.cfg.DB.Write(ctx, func(ctx context.Context, tx *gorm.DB) error {
		b = newBatch(ops, p.cfg)
		if b.versions, err = Lock(ctx, tx, b.conferences()); err != nil {
			return err
		}
		if b.now, err = fence(tx, ops[0].epoch); err != nil {
			return err
		}
		if err := b.read(tx); err != nil {
			return err
		}
		if b.away, err = p.countElsewhere(tx, ops); err != nil {
			return err
		}
		b.apply()
		b.conclude()
		if err := b.store(tx); err != nil {
			return err
		}
		if p.cfg.Record != nil && len(b.changes) > 0 {
			return p.cfg.Record(ctx, slices.Clone(b.changes))
		}
		return nil
	})
	return b, err
}

func (b *batch) conferences() []string {
	confs := make([]string, len(b.ops))
	for i, o := range b.ops {
		confs[i] = o.row.ConferenceID
	}
	return confs
}

// pairs returns each user and conference of the batch once, sorted: the order in which rows are written.
func (b *batch) pairs() []pair {
	var out []pair
	for _, o := range b.ops {
		if o.row.ConferenceID != "" {
			out = append(out, o.row.pair())
		}
	}
	slices.SortFunc(out, func(a, b pair) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(out)
}

// apply lets the ops happen, in the order in which they were asked for.
func (b *batch) apply() {
	for i, o := range b.ops {
		d := b.deed(o.row.pair())
		switch o.kind {
		case opening:
			b.outcomes[i] = b.applyOpen(o, d)
		case closing:
			b.applyClose(o, d)
		case reopen:
			b.reopened[o.row.ID] = o.row
			b.enter(o, d)
		case end:
			d.ended = o.why
		case look:
		}
	}
	for who, d := range b.deeds {
		d.open = len(b.open[who])
	}
}

func (b *batch) deed(who pair) *deed {
	d := b.deeds[who]
	if d == nil {
		d = &deed{}
		b.deeds[who] = d
	}
	return d
}

func (b *batch) applyOpen(o *op, d *deed) outcome {
	if r, ok := b.known[o.row.ID]; ok && r.ClosedAt != nil {
		return outcome{err: errGone} // the id was used before
	}
	who := o.row.pair()
	name := b.names.of(who, o.row.UserName, o.held != nil && o.held.trusted)
	a := Arrival{UserName: name.text, Elsewhere: b.away[o.row.UserID]}
	if o.row.ConferenceID != "" {
		others := slices.DeleteFunc(slices.Clone(b.open[who]), func(id string) bool { return id == o.row.ID })
		switch {
		case len(others) == 0:
		case b.duplicates == "oldest":
			return outcome{err: fault.New(fault.Conflict, "duplicate_session", "the user has another session in this conference")}
		case b.duplicates == "newest":
			a.Superseded = others
		}
		was := b.was[who].standing().state
		a.Came, a.Back = !d.came && !was.here(), !d.came && was == Reconnecting
		b.named[who] = name
	}
	row := o.row
	row.UserName = name.text
	b.rows[row.ID] = row
	b.enter(o, d)
	return outcome{arrival: a}
}

func (b *batch) enter(o *op, d *deed) {
	d.came, d.touched = true, true
	who := o.row.pair()
	if o.held != nil && o.held.role != "" {
		b.roles[who] = o.held.role
	}
	if !slices.Contains(b.open[who], o.row.ID) {
		b.open[who] = append(b.open[who], o.row.ID)
	}
}

// applyClose ends a session that is open. One that is closed already stays as it is: the first reason wins, and
// a close that comes late, or twice, says nothing of a user who may be back.
func (b *batch) applyClose(o *op, d *deed) {
	row, fresh := b.rows[o.row.ID]
	if _, again := b.reopened[o.row.ID]; !fresh && !again {
		known, ok := b.known[o.row.ID]
		if ok && known.ClosedAt != nil || !ok && o.held == nil {
			return
		}
	}
	if !fresh {
		row = o.row
	} else if row.ClosedAt != nil {
		return
	}
	row.ClosedAt, row.Reason = o.row.ClosedAt, o.row.Reason
	delete(b.reopened, row.ID)
	b.rows[row.ID] = row
	d.touched, d.closed = true, o.row.Reason
	who := row.pair()
	b.open[who] = slices.DeleteFunc(b.open[who], func(id string) bool { return id == row.ID })
}

// conclude derives what is to be said of everybody concerned.
func (b *batch) conclude() {
	for _, who := range b.pairs() {
		row, d := b.was[who], b.deeds[who]
		before := row
		row.ConferenceID, row.UserID = who[0], who[1]
		from := row.standing()
		to := derive(from, *d, b.now, b.grace)
		row.set(to)
		if n, ok := b.named[who]; ok && n.text != "" {
			row.UserName, row.NameRank = n.text, n.rank
		}
		row.TokenRole = b.role(row.TokenRole, who, from)
		known := before.State != ""
		if !known && !to.state.here() && from.state == to.state {
			continue
		}
		if !known || from != to || before.UserName != row.UserName || before.NameRank != row.NameRank || before.TokenRole != row.TokenRole {
			b.is = append(b.is, row)
		}
		if from.state == to.state && (!d.touched || !to.state.here()) {
			continue
		}
		b.moved[who[0]] += number(to.state) - number(from.state)
		b.changes = append(b.changes, Change{
			ConferenceID: who[0], UserID: who[1], UserName: row.UserName,
			From: from.state, To: to.state, Reason: to.why, At: b.now,
		})
	}
}

// role returns what tokens say that a user is: what the last one said, for as long as he is there.
func (b *batch) role(before string, who pair, from standing) string {
	if said, ok := b.roles[who]; ok {
		return said
	}
	if b.deeds[who].came && !from.state.here() {
		return ""
	}
	return before
}

// number is what a user in this state adds to the online number.
func number(s State) int {
	if s.here() {
		return 1
	}
	return 0
}

// count fills in the online number after each change, given the numbers after all of them.
func (b *batch) count(after map[string]int) {
	at := map[string]int{}
	for i := range b.changes {
		c := &b.changes[i]
		if _, begun := at[c.ConferenceID]; !begun {
			at[c.ConferenceID] = after[c.ConferenceID] - b.moved[c.ConferenceID]
		}
		at[c.ConferenceID] += number(c.To) - number(c.From)
		c.Online = at[c.ConferenceID]
	}
}
