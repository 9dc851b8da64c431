package notice
import ("testing";"time";"fmt";"rollcall/internal/store";"rollcall/internal/storetest")
func TestZZ(t *testing.T) {
	c := storetest.DSN(t, store.MySQL); c.Timeout = 300*time.Second
	db := storetest.OpenConfig(t, c)
	if err := migrationsUp(t, db); err != nil { t.Fatal(err) }
	n := open(db, time.Minute)
	start := time.Now()
	_, err := db.SQL().Exec(`INSERT INTO notices (id, conference_id, sender_id, event, category, label, send_type, message, state, created_at)
	 SELECT CONCAT('01', LPAD(seq,24,'0')), seq%1000, seq%5000, IF(seq%10=0,'notice','online_notice'), IF(seq%1000=0,'remind',''), CONCAT('l',seq%100), '1', CONCAT('{"conferenceId":"42","userId":"7","userName":"Anna","at":', seq, '}'), IF(seq%50=0,'suppressed','sent'), seq FROM seq_1_to_1000000`)
	if err != nil { t.Fatal(err) }
	_, err = db.SQL().Exec(`INSERT INTO notice_deliveries (notice_id,user_id,state,at) SELECT CONCAT('01', LPAD(seq*10,24,'0')), seq%100, 'sent', 1 FROM seq_1_to_100000`)
	if err != nil { t.Fatal(err) }
	fmt.Println("fill", time.Since(start))
	for _, f := range []Filter{{}, {ConferenceID:"42"}, {SenderID:"7"}, {RecipientID:"7"}, {Event:"notice"}, {Category:"remind"}, {State:"suppressed"}, {Label:"l7"}, {SendType:"1"}, {ConferenceID:"42", State:"suppressed"}, {RecipientID:"7", State:"sent"}, {Category:"remind", State:"suppressed"}, {Cursor:"01000000000000000000500000", Limit:200}, {Q:"zzz"}, {Q:"anna"}, {ConferenceID:"42",Q:"zzz"}, {RecipientID:"7",Q:"zzz"}} {
		n.Find(t.Context(), f)
		s := time.Now()
		items, _, err := n.Find(t.Context(), f)
		fmt.Printf("%v %d %v %+v\n", time.Since(s), len(items), err, f)
	}
	s := time.Now(); k := 0
	err = n.Each(t.Context(), Filter{SendType:"1"}, func(Entry) error { k++; return nil })
	fmt.Println("each", k, time.Since(s), err)
}
