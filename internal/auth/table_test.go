package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/internal/storetest"
)

// trial is a token and what a Verifier that trusts every key of ours says of it; "" stands for "the token is malformed".
type trial struct{ name, token, want string }

const (
	noKey   = "the token was not signed by a known key"
	noParse = "the token is malformed"
	expired = "the token has expired"
)

// The table of the issue. Every bad token is tried on verifiers with each source of keys alone and with all of them. None may
// take it; the one with all must say why, and the server of the attacker must never be asked.
func TestTokens(t *testing.T) {
	attacker := newWeb(t, text(set(key("evil", "", ring().evil.Public()))))
	issuer := newWeb(t, text(ourSet()))
	file := keyFile(t, pemText("PUBLIC KEY", pkix(ring().file.Public())))
	plain := VerifierConfig{Issuer: ourIssuer, Audience: ourAudience}
	all, secret, public, remote := plain, plain, plain, plain
	all.HS256Secret, all.PublicKeyFile, all.JWKSURL = ourSecret, file, issuer.URL
	secret.HS256Secret, public.PublicKeyFile, remote.JWKSURL = ourSecret, file, issuer.URL
	trusting := newVerifier(t, all)
	verifiers := []*Verifier{trusting, newVerifier(t, secret), newVerifier(t, public), newVerifier(t, remote)}
	bad := append(badAlgorithms(), badSecrets()...)
	bad = append(bad, badKeys(attacker.URL)...)
	bad = append(bad, badHeaders()...)
	bad = append(bad, badTimes()...)
	bad = append(bad, badClaims()...)
	bad = append(bad, badForms()...)
	tried, wrong := 0, 0
	for _, c := range bad {
		for i, v := range verifiers {
			got := verdictOn(t, v, c.token)
			tried++
			if got == "ok" {
				wrong++
				t.Errorf("%s: accepted by verifier %d", c.name, i)
			}
			if want := orMalformed(c.want); i == 0 && got != want {
				t.Errorf("%s: %q, want %q", c.name, got, want)
			}
		}
	}
	good := goodTokens()
	for _, c := range good {
		if got := verdictOn(t, trusting, c.token); got != "ok" {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	if n := attacker.asked.Load(); n != 0 {
		t.Errorf("the server of the attacker was asked %d times", n)
	}
	storetest.Show(t, "%d bad tokens, wrong accepts %d of %d; %d good ones", len(bad), wrong, tried, len(good))
}

func orMalformed(want string) string {
	if want == "" {
		return noParse
	}
	return want
}

// goodTokens are the controls: without them a Verifier that refuses everything would pass.
func goodTokens() []trial {
	r := ring()
	return []trial{
		{name: "HS256", token: hs(said())},
		{name: "kid is of no meaning for a secret", token: honest("HS256", `"kid":"whatever",`, said(), []byte(ourSecret))},
		{name: "RS256 by the file", token: honest("RS256", "", said(), r.file)},
		{name: "PS384 by the file", token: honest("PS384", "", said(), r.file)},
		{name: "RS512 by the set", token: honest("RS512", `"kid":"r1",`, said(), r.web)},
		{name: "PS256 by the set", token: honest("PS256", `"kid":"r1",`, said(), r.web)},
		{name: "the only RSA key of the set needs no name", token: honest("RS384", "", said(), r.web)},
		{name: "ES256", token: honest("ES256", `"kid":"e2",`, said(), r.web256)},
		{name: "ES384", token: honest("ES384", `"kid":"e3",`, said(), r.web384)},
		{name: "ES512", token: honest("ES512", `"kid":"e5",`, said(), r.web521)},
		{name: "EdDSA", token: honest("EdDSA", `"kid":"d1",`, said(), r.webEd)},
		{name: "unknown header", token: honest("HS256", `"x":{"y":[1]},`, said(), []byte(ourSecret))},
		{name: "escapes in the header", token: forge(`{"\u0061lg":"\u0048S256"}`, said(), "HS256", []byte(ourSecret))},
		{name: "white space", token: forge(" {\n\t\"alg\" : \"HS256\" , \"kid\" : \"a\" } ", " "+strings.ReplaceAll(said("conferences", ` "*" `, "exp", fmt.Sprint(time.Now().Unix()+3600)), ",", " ,\r\n ")+"\n", "HS256", []byte(ourSecret))},
		{name: "exp with a fraction", token: hs(said("exp", fmt.Sprintf("%d.5", time.Now().Unix()+3600)))},
		{name: "exp with an exponent", token: hs(said("exp", "2.5e11"))},
		{name: "nbf now", token: hs(said("nbf", fmt.Sprint(time.Now().Unix())))},
		{name: "nbf null", token: hs(said("nbf", "null"))},
		{name: "iat ahead", token: hs(said("iat", fmt.Sprint(time.Now().Unix()+600)))},
		{name: "aud list", token: hs(said("aud", `["other","rollcall"]`))},
		{name: "unknown claims", token: hs(said("deep", `{"a":{"a":[[[]]]}}`, "sub2", "true"))},
	}
}

func badAlgorithms() (list []trial) {
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "none ", "", "hs256", "HS256 ", "HS1", "RSA", "dir", "A128KW"} {
		h := fmt.Sprintf(`{"alg":%q}`, alg)
		list = append(list,
			trial{"alg " + alg + ", unsigned", forge(h, said(), "", nil), noKey},
			trial{"alg " + alg + ", signed with our secret", forge(h, said(), "HS256", []byte(ourSecret)), noKey})
	}
	for _, h := range []string{`{}`, `{"alg":1}`, `{"alg":["HS256"]}`, `{"alg":{"":"HS256"}}`, `{"ALG":"HS256"}`, `{"Alg":"HS256"}`, `{"alg":true}`} {
		list = append(list, trial{"header " + h, forge(h, said(), "HS256", []byte(ourSecret)), ""})
	}
	return append(list,
		trial{"alg null", forge(`{"alg":null}`, said(), "HS256", []byte(ourSecret)), noKey},
		trial{"escaped none", forge(`{"\u0061lg":"\u006eone"}`, said(), "", nil), noKey},
		trial{"HS384 with our secret", honest("HS384", "", said(), []byte(ourSecret)), noKey},
		trial{"HS512 with our secret", honest("HS512", "", said(), []byte(ourSecret)), noKey},
		trial{"RS512 named RS256", forge(`{"alg":"RS256"}`, said(), "RS512", ring().file), noKey},
		trial{"PS256 named RS256", forge(`{"alg":"RS256"}`, said(), "PS256", ring().file), noKey},
		trial{"HS256 named RS256", forge(`{"alg":"RS256"}`, said(), "HS256", []byte(ourSecret)), noKey},
		trial{"ES384 with a key for ES256", forge(`{"alg":"ES384","kid":"e2"}`, said(), "ES256", ring().web256), noKey},
		trial{"ES512 on P-384", forge(`{"alg":"ES512","kid":"e3"}`, said(), "ES384", ring().web384), noKey},
		trial{"ES256 on P-384", forge(`{"alg":"ES256","kid":"e3"}`, said(), "ES384", ring().web384), noKey},
		trial{"RS256 without a signature", forge(`{"alg":"RS256"}`, said(), "", nil), noKey},
	)
}

// badSecrets are HS256 tokens signed with what an attacker knows, above all with public keys in every form they come in.
func badSecrets() (list []trial) {
	r := ring()
	secrets := map[string][]byte{
		"another secret": []byte("another secret that is just as long as it has to be"), "no secret": {}, "NUL": {0}, "our secret and more": []byte(ourSecret + "\x01"),
		"our secret cut": []byte(ourSecret[:len(ourSecret)-1]), "the word secret": []byte("secret"), "the set": []byte(ourSet()), "three stars": []byte(ourSecret.String()),
		"x of Ed25519": r.webEd.Public().(ed25519.PublicKey), "EC PEM": pemText("PUBLIC KEY", pkix(r.web256.Public())), "EC DER": pkix(r.web256.Public()),
	}
	for name, k := range map[string]*x509.Certificate{"file": {PublicKey: r.file.Public()}, "set": {PublicKey: r.web.Public()}} {
		der := pkix(k.PublicKey)
		secrets["DER of the "+name] = der
		secrets["PEM of the "+name] = pemText("PUBLIC KEY", der)
		secrets["PEM without a last line of the "+name] = bytes.TrimSpace(pemText("PUBLIC KEY", der))
		secrets["PEM with CR LF of the "+name] = bytes.ReplaceAll(pemText("PUBLIC KEY", der), []byte("\n"), []byte("\r\n"))
	}
	pkcs1 := x509.MarshalPKCS1PublicKey(&r.file.PublicKey)
	secrets["PKCS#1 DER"], secrets["PKCS#1 PEM"] = pkcs1, pemText("RSA PUBLIC KEY", pkcs1)
	secrets["n"], secrets["n in base64"] = r.web.N.Bytes(), []byte(b64(r.web.N.Bytes()))
	for name, s := range secrets {
		list = append(list, trial{"HS256 with " + name, honest("HS256", "", said(), s), noKey}, trial{"HS256 and kid with " + name, honest("HS256", `"kid":"r1",`, said(), s), noKey})
	}
	for _, alg := range []string{"HS384", "HS512"} {
		list = append(list, trial{alg + " with PEM", honest(alg, "", said(), pemText("PUBLIC KEY", pkix(r.file.Public()))), noKey})
	}
	return list
}

// badKeys are tokens signed with keys of the attacker, who does what he can to have them believed.
func badKeys(attacker string) []trial {
	r := ring()
	evil := func(more string) string { return honest("RS256", more, said(), r.evil) }
	certificate := base64.StdEncoding.EncodeToString(pkix(r.evil.Public()))
	list := []trial{
		{"evil EC", honest("ES256", `"kid":"e2",`, said(), r.evilEC), noKey},
		{"evil EC without kid", honest("ES256", "", said(), r.evilEC), noKey},
		{"evil Ed25519", honest("EdDSA", `"kid":"d1",`, said(), r.evilEd), noKey},
		{"kid of another kind", honest("RS256", `"kid":"e2",`, said(), r.web), noKey},
		{"kid of another key", honest("ES256", `"kid":"e3",`, said(), r.web256), noKey},
		{"kid of the secret in the set", honest("HS256", `"kid":"o1",`, said(), r.web.N.Bytes()), noKey},
		{"key for encryption", honest("RS256", `"kid":"sealing",`, said(), r.evil), noKey},
		{"ES256 of nothing", forgeSignature(`{"alg":"ES256","kid":"e2"}`, make([]byte, 64)), noKey},
		{"ES256 of the order", forgeSignature(`{"alg":"ES256","kid":"e2"}`, bytes.Repeat(r.web256.Params().N.Bytes(), 2)), noKey},
		{"ES256 of ones", forgeSignature(`{"alg":"ES256","kid":"e2"}`, bytes.Repeat([]byte{0xff}, 64)), noKey},
		{"EdDSA of nothing", forgeSignature(`{"alg":"EdDSA","kid":"d1"}`, make([]byte, 64)), noKey},
		{"RS256 of nothing", forgeSignature(`{"alg":"RS256","kid":"r1"}`, make([]byte, 256)), noKey},
		{"RS256 of one", forgeSignature(`{"alg":"RS256","kid":"r1"}`, append(make([]byte, 255), 1)), noKey},
		{"RS256 too long", forgeSignature(`{"alg":"RS256","kid":"r1"}`, make([]byte, 4096)), noKey},
	}
	for _, more := range []string{
		"", `"kid":"r1",`, `"kid":"evil",`, `"kid":"",`, `"jwk":` + key("evil", "", r.evil.Public()) + `,`, `"jku":"` + attacker + `",`, `"kid":"evil","jku":"` + attacker + `/keys",`, `"x5u":"` + attacker + `",`,
		`"x5c":["` + certificate + `"],`, `"x5t":"` + certificate[:27] + `",`, `"kid":"` + attacker + `",`, `"iss":"` + ourIssuer + `","jku":"` + ourIssuer + `@` + strings.TrimPrefix(attacker, "http://") + `",`,
		`"kid":"../../../../dev/null",`, `"kid":"/dev/zero",`, `"kid":"' OR '1'='1",`, `"kid":"x' UNION SELECT 'evil';--",`, `"kid":"r1\u0000",`, `"kid":"R1",`, `"kid":" r1",`, `"kid":"` + strings.Repeat("k", 256) + `",`,
		`"kid":"|/usr/bin/id",`, `"kid":"$(id)",`, `"kid":"__proto__",`,
	} {
		list = append(list, trial{"evil RSA with " + more, evil(more), noKey})
	}
	return list
}

// forgeSignature makes a token with any signature.
func forgeSignature(header string, signature []byte) string {
	return forge(header, said(), "", nil) + b64(signature)
}

// badHeaders are signed with keys of ours: what is wrong is that they ask to be read in another way.
func badHeaders() []trial {
	const odd, oddKid = "the token has a header that is not understood", "the token names its key in a way that is not understood"
	signed := func(more string) string { return honest("HS256", more, said(), []byte(ourSecret)) }
	return []trial{
		{"crit empty", signed(`"crit":[],`), odd}, {"crit null", signed(`"crit":null,`), odd}, {"crit exp", signed(`"crit":["exp"],`), odd}, {"crit odd", signed(`"crit":["x"],"x":1,`), odd},
		{"b64 false and crit", signed(`"crit":["b64"],"b64":false,`), odd}, {"b64 false", signed(`"b64":false,`), odd}, {"b64 true", signed(`"b64":true,`), odd},
		{"kid number", signed(`"kid":1,`), oddKid}, {"kid null", signed(`"kid":null,`), oddKid}, {"kid object", signed(`"kid":{"$gt":""},`), oddKid}, {"kid list", signed(`"kid":["r1"],`), oddKid},
		{"kid long", signed(`"kid":"` + strings.Repeat("k", 257) + `",`), oddKid}, {"kid of 1 MB", signed(`"kid":"` + strings.Repeat("k", 1<<20) + `",`), "the token is too long"},
		{"alg twice", signed(`"alg":"none",`), ""}, {"alg twice, none last", forge(`{"alg":"HS256","alg":"none"}`, said(), "HS256", []byte(ourSecret)), ""},
		{"alg twice, escaped", signed(`"\u0061lg":"HS256",`), ""}, {"kid twice", signed(`"kid":"a","kid":"b",`), ""},
		{"header list", forge(`[]`, said(), "HS256", []byte(ourSecret)), ""}, {"header text", forge(`"alg"`, said(), "HS256", []byte(ourSecret)), ""}, {"header empty", forge(``, said(), "HS256", []byte(ourSecret)), ""},
		{"two headers", forge(`{"alg":"HS256"}{"alg":"HS256"}`, said(), "HS256", []byte(ourSecret)), ""}, {"header open", forge(`{"alg":"HS256"`, said(), "HS256", []byte(ourSecret)), ""},
		{"header not UTF-8", signed("\"x\":\"\xff\","), ""}, {"comment", forge(`{"alg":"HS256"/**/}`, said(), "HS256", []byte(ourSecret)), ""}, {"byte order mark", forge("\ufeff"+`{"alg":"HS256"}`, said(), "HS256", []byte(ourSecret)), ""},
	}
}

func badTimes() []trial {
	const noExp, oddExp, oddNbf = "the token has no exp", "the exp of the token is no time", "the nbf of the token is no time"
	at := func(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).Unix()) }
	exp := func(text string) string { return hs(said("exp", text)) }
	nbf := func(text string) string { return hs(said("nbf", text)) }
	return []trial{
		{"expired", exp(at(-time.Minute)), expired}, {"expires now", exp(at(0)), expired}, {"expired by RSA", honest("RS256", "", said("exp", at(-time.Second)), ring().file), expired},
		{"exp 0", exp("0"), expired}, {"exp -1", exp("-1"), expired}, {"exp -0", exp("-0"), expired}, {"exp 1e-9", exp("1e-9"), expired}, {"exp in 32 bits", exp("2147483648.0e-3"), expired},
		{"no exp", exp(""), noExp}, {"exp null", exp("null"), noExp}, {"Exp", hs(said("exp", "", "Exp", at(time.Hour))), noExp}, {"expires_in", hs(said("exp", "", "expires_in", "3600")), noExp},
		{"exp text", exp(`"` + at(time.Hour) + `"`), oddExp}, {"exp true", exp("true"), oddExp}, {"exp list", exp("[" + at(time.Hour) + "]"), oddExp}, {"exp object", exp(`{"$numberLong":"9999999999"}`), oddExp},
		{"exp 1e300", exp("1e300"), oddExp}, {"exp 1e999", exp("1e999"), oddExp}, {"exp 9e18", exp("9e18"), oddExp}, {"exp 9223372036854775807", exp("9223372036854775807"), oddExp},
		{"exp 9223372036854775808", exp("9223372036854775808"), oddExp}, {"exp of a thousand digits", exp(strings.Repeat("9", 1000)), oddExp}, {"exp in milliseconds", exp(at(time.Hour) + "000"), oddExp},
		{"exp beyond 9999", exp("253402300800"), oddExp}, {"exp -1e300", exp("-1e300"), oddExp}, {"exp date", exp(`"2100-01-01T00:00:00Z"`), oddExp},
		{"nbf ahead", nbf(at(time.Minute)), "the token is not valid yet"}, {"nbf text", nbf(`"0"`), oddNbf}, {"nbf 1e300", nbf("1e300"), oddNbf}, {"nbf -1e300", nbf("-1e300"), oddNbf}, {"nbf list", nbf("[0]"), oddNbf},
		{"exp twice", forge(`{"alg":"HS256"}`, `{"exp":1,`+said()[1:], "HS256", []byte(ourSecret)), ""},
	}
}

func badClaims() (list []trial) {
	const aud, iss, user, conf = "the token is for another audience", "the token is from another issuer", "the token names no valid user", "the token names its conferences in a way that is not understood"
	for claim, c := range map[string]struct {
		want  string
		texts []string
	}{
		"aud": {aud, []string{"", "null", `"other"`, `""`, `[]`, `["other"]`, `["rollcall",1]`, `[["rollcall"]]`, `{"rollcall":true}`, `"Rollcall"`, `"rollcall "`, `"rollcal"`, `"rollcall,other"`, `7`, `"*"`}},
		"iss": {iss, []string{"", "null", `"https://evil.example"`, `""`, `["https://issuer.example"]`, `"https://issuer.example/"`, `"HTTPS://issuer.example"`, `"https://issuer.example.evil"`, `7`, `{}`}},
		"sub": {user, []string{"", "null", `""`, `"undefined"`, `"null"`, `" 7"`, `"7\u0000"`, `"a b"`, `"../7"`, `"<script>"`, `true`, `["7"]`, `{"id":"7"}`, `7.0`, `7e0`, `1.5`, `"` + strings.Repeat("x", 65) + `"`, `"Jose\u0301"`,
			`"\ud800"`, `"7\n8"`, `"%37"`, `"*"`}},
		"conferences": {conf, []string{`"42"`, `""`, `42`, `true`, `{}`, `{"42":true}`, `[null]`, `[""]`, `[["42"]]`, `[{"id":"42"}]`, `["4 2"]`, `["42",true]`, `[1.5]`, `["42","<b>"]`, `"**"`, `" *"`, `["*","/"]`}},
	} {
		for _, text := range c.texts {
			list = append(list, trial{claim + " " + text, hs(said(claim, text)), c.want})
		}
	}
	twice := func(member string) string { return "{" + member + "," + said()[1:] }
	for _, m := range []string{`"sub":"1"`, `"s\u0075b":"1"`, `"iss":"x"`, `"aud":"x"`, `"conferences":"*","conferences":["1"]`, `"system":true,"system":false`, `"x":1,"x":1`} {
		list = append(list, trial{"twice: " + m, hs(twice(m)), ""})
	}
	return append(list, trial{"Sub", hs(said("sub", "", "Sub", `"7"`)), user}, trial{"user_id", hs(said("sub", "", "user_id", `"7"`)), user})
}

// badForms are good tokens that were bent.
func badForms() (list []trial) {
	good := hs(said("name", `"`+strings.Repeat("n", 100)+`"`))
	parts := strings.Split(good, ".")
	other := strings.Split(hs(said("sub", `"1"`)), ".")
	lastBits := map[string]string{"A": "B", "E": "F", "I": "J", "M": "N", "Q": "R", "U": "V", "Y": "Z", "c": "d", "g": "h", "k": "l", "o": "p", "s": "t", "w": "x", "0": "1", "4": "5", "8": "9"}
	last := parts[2][len(parts[2])-1:] // of 256 bits two are left over, and must be zero
	for name, token := range map[string]string{
		"blank": " ", "dots": "..", "four parts": good + ".", "five parts": good + "..", "four dots": "....", "no signature": parts[0] + "." + parts[1], "only a header": parts[0], "signature padded": good + "=",
		"signature of other bits": good[:len(good)-1] + lastBits[last], "white space before": " " + good, "white space after": good + "\n", "Bearer": "Bearer " + good, "white space within": parts[0] + ". " + parts[1] + "." + parts[2],
		"line feed within": good[:20] + "\n" + good[20:], "NUL": good + "\x00", "standard alphabet": parts[0] + "." + parts[1] + "+/." + parts[2], "other full stop": strings.ReplaceAll(good, ".", "．"), "quoted": `"` + good + `"`,
		"percent": strings.ReplaceAll(good, ".", "%2e"), "header padded": parts[0] + "==." + parts[1] + "." + parts[2], "JSON form": `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`,
		"detached": parts[0] + ".." + parts[2] + "!", "C1": good + "\u009b", "JWE": b64([]byte(`{"alg":"dir","enc":"A128GCM"}`)) + "..AAAA.AAAA.AAAA", "nested": hs(hs(said())), "payload list": hs("[" + said() + "]"),
		"payload text": hs(`"7"`), "payload number": hs("7"), "payload null": hs("null"), "payload empty": hs(""), "payload not UTF-8": hs(said("x", "\"\xff\"")), "two payloads": hs(said() + said()),
		"payload and more": hs(said() + "x"), "payload open": hs(strings.TrimSuffix(said(), "}")), "deep": hs(strings.Repeat(`{"a":`, 800) + "1" + strings.Repeat("}", 799)),
	} {
		list = append(list, trial{name, token, ""})
	}
	return append(list,
		trial{"nothing", "", "a token is needed"},
		trial{"signature left out", parts[0] + "." + parts[1] + ".", noKey},
		trial{"signature cut", parts[0] + "." + parts[1] + "." + b64(must(base64.RawURLEncoding.DecodeString(parts[2]))[:24]), noKey},
		trial{"signature doubled", parts[0] + "." + parts[1] + "." + b64(bytes.Repeat(must(base64.RawURLEncoding.DecodeString(parts[2])), 2)), noKey},
		trial{"payload swapped", parts[0] + "." + other[1] + "." + parts[2], noKey},
		trial{"payload empty, swapped", parts[0] + ".." + parts[2], noKey},
		trial{"header swapped", b64([]byte(`{"alg":"HS256","kid":"x"}`)) + "." + parts[1] + "." + parts[2], noKey},
		trial{"ES256 in DER", inDER(), noKey},
		trial{"100 KB of name", hs(said("name", `"`+strings.Repeat("n", 100<<10)+`"`)), "the token is too long"},
		trial{"a megabyte of dots", strings.Repeat(".", 1<<20), "the token is too long"},
		trial{"a megabyte of nothing", strings.Repeat("A", 1<<20), "the token is too long"},
	)
}

// inDER is signed by a key of ours in the form that everything but tokens uses.
func inDER() string {
	signing := strings.TrimSuffix(forge(`{"alg":"ES256","kid":"e2"}`, said(), "", nil), ".")
	digest := sha256.Sum256([]byte(signing))
	return signing + "." + b64(must(ecdsa.SignASN1(rand.Reader, ring().web256, digest[:])))
}

// The key decides with which algorithms it may be used, even where the mathematics would fit and whatever else is configured.
func TestKeysKeepToTheirAlgorithms(t *testing.T) {
	r := ring()
	for name, c := range map[string]struct {
		token string
		key   any
		want  bool
	}{
		"HS256 by a secret": {hs(said()), []byte(ourSecret), true},
		"HS512 by a secret": {honest("HS512", "", said(), []byte(ourSecret)), []byte(ourSecret), false},
		"RS256 by RSA":      {honest("RS256", "", said(), r.file), r.file.Public(), true},
		"a private key":     {honest("RS256", "", said(), r.file), r.file, false},
		"no key":            {hs(said()), nil, false},
	} {
		if got := must(parse(c.token)).signedBy(c.key); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
