// Package config reads the configuration from defaults, a YAML file, the environment and flags, and says
// everything that is wrong with it at once.
package config

import "time"

// Config is the whole configuration. The tags are the only place where a key, its default, its bounds
// and its description are written; the file reader, the environment, Keys and the sample all follow them.
type Config struct {
	HTTP       HTTP       `key:"http" doc:"The port that clients, backend and admins talk to."`
	Database   Database   `key:"database" doc:"Where everything lasting is kept."`
	Redis      Redis      `key:"redis" doc:"Optional: debounce keys and wake-up messages between nodes."`
	Cluster    Cluster    `key:"cluster" doc:"Several nodes on one database."`
	Shutdown   Shutdown   `key:"shutdown" doc:"The planned stop."`
	Node       Node       `key:"node" doc:"This process."`
	Auth       Auth       `key:"auth" doc:"Who may come in."`
	Socket     Socket     `key:"socket" doc:"Socket.IO."`
	Presence   Presence   `key:"presence" doc:"Who is online."`
	Conference Conference `key:"conference" doc:"Rooms and their trees."`
	Meeting    Meeting    `key:"meeting" doc:"Calls to the meeting backend."`
	Notice     Notice     `key:"notice" doc:"Notices and their log."`
	Attendance Attendance `key:"attendance" doc:"Who was there and when."`
	Webhook    Delivery   `key:"webhook" doc:"How events are sent to the meeting backend."`
	Webhooks   []Webhook  `key:"webhooks" doc:"Endpoints of the meeting backend, a list of {url, secret, events}; events empty or [\"*\"] takes all"`
	Console    Console    `key:"console" doc:"The admin pages."`
	Tracing    Tracing    `key:"tracing" doc:"OpenTelemetry."`
	Debug      Debug      `key:"debug" doc:"For developers."`
	Log        Log        `key:"log" doc:"The log on standard error."`
}

// HTTP is the section http.
type HTTP struct {
	Addr              string   `key:"addr" default:"127.0.0.1:8080" doc:"Address to listen on, host:port; port 0 takes any free one"`
	TLSCert           string   `key:"tls_cert" doc:"PEM file with the certificate chain; with tls_key, turns TLS on"`
	TLSKey            string   `key:"tls_key" doc:"PEM file with the private key of tls_cert"`
	RequestsPerSecond int      `key:"requests_per_second" default:"0" min:"0" max:"1000000" doc:"REST requests per second and API key; 0 is no limit"`
	TrustedProxies    []string `key:"trusted_proxies" doc:"Addresses or networks (10.0.0.0/8) whose X-Forwarded-For is believed"`
	AllowedOrigins    []string `key:"allowed_origins" doc:"Other origins whose pages may connect (https://example.org); * allows all"`
}

// Database is the section database.
type Database struct {
	Driver       string        `key:"driver" default:"sqlite" oneof:"sqlite|mysql" doc:"Kind of database; several nodes need mysql"`
	DSN          Secret        `key:"dsn" default:"data/rollcall.db" doc:"File path for sqlite, user:pass@tcp(host:port)/name for mysql"`
	Migrate      bool          `key:"migrate" default:"true" doc:"Bring the schema up to date at start"`
	MaxOpenConns int           `key:"max_open_conns" default:"20" min:"1" max:"10000" doc:"Most connections to MySQL"`
	Timeout      time.Duration `key:"timeout" default:"5s" min:"100ms" max:"1m" doc:"Bound of every transaction and of every query"`
}

// Redis is the section redis.
type Redis struct {
	Addr     string        `key:"addr" doc:"host:port; empty is none"`
	Password Secret        `key:"password" doc:"Password, if Redis asks for one"`
	DB       int           `key:"db" default:"0" min:"0" max:"65535" doc:"Number of the Redis database"`
	Prefix   string        `key:"prefix" default:"rollcall" doc:"Beginning of every key and channel"`
	Timeout  time.Duration `key:"timeout" default:"200ms" min:"10ms" max:"10s" doc:"Bound of every command; what Redis does not answer by then is done without it"`
}

// Cluster is the section cluster.
type Cluster struct {
	PollInterval time.Duration `key:"poll_interval" default:"3s" min:"10ms" max:"5s" doc:"How often versions are compared with the database, in case a wake-up was lost"`
}

// Shutdown is the section shutdown.
type Shutdown struct {
	Drain time.Duration `key:"drain" default:"10s" min:"0s" max:"10m" doc:"Time over which sockets are sent away before a planned stop"`
}

// Node is the section node. An empty ID asks for a random one.
type Node struct {
	ID string `key:"id" doc:"Name of this node, different on each; empty is a random one"`
}

// Auth is the section auth.
type Auth struct {
	Mode            string        `key:"mode" default:"none" oneof:"none|jwt" doc:"none believes everybody; jwt wants a token from sockets and an API key from REST callers"`
	HS256Secret     Secret        `key:"hs256_secret" doc:"Shared secret of HS256 tokens, at least 32 bytes"`
	JWKSURL         string        `key:"jwks_url" doc:"URL of a JWK set with the public keys of tokens"`
	PublicKeyFile   string        `key:"public_key_file" doc:"PEM file with the public key of tokens"`
	IntrospectURL   Secret        `key:"introspect_url" doc:"URL that is asked about tokens (RFC 7662); may hold user and password"`
	Issuer          string        `key:"issuer" doc:"Wanted iss of tokens; empty accepts any"`
	Audience        string        `key:"audience" doc:"Wanted aud of tokens; empty accepts any"`
	UserClaim       string        `key:"user_claim" default:"sub" doc:"Claim that holds the user id"`
	CookieName      string        `key:"cookie_name" doc:"Cookie that may carry the token; empty is none"`
	AllowQueryToken bool          `key:"allow_query_token" default:"false" doc:"Accept the token as query parameter too; it then shows up in logs of proxies"`
	Check           string        `key:"check" default:"always" oneof:"always|handshake" doc:"always ends a socket when its token expires; handshake looks only once"`
	Leeway          time.Duration `key:"leeway" default:"0s" min:"0s" max:"10m" doc:"Difference of clocks that is forgiven in times of tokens"`
	OpenConferences bool          `key:"open_conferences" default:"false" doc:"Let every known user into conferences without registered members"`
	AllowInsecure   bool          `key:"allow_insecure" default:"false" doc:"Allow mode none on an address that others can reach"`
	APIKeys         []APIKey      `key:"api_keys" doc:"Keys of REST callers, a list of {name, role: viewer|backend|admin, sha256}; keygen makes one"`
}

// APIKey lets one REST caller in. The key itself is nowhere, only its hash.
type APIKey struct {
	Name   string `key:"name"`                              // shown in the log as actor
	Role   string `key:"role" oneof:"viewer|backend|admin"` // each may do what those before it may
	SHA256 string `key:"sha256"`                            // of the key, 64 hexadecimal digits; lower-case after Load
}

// Socket is the section socket.
type Socket struct {
	Path                string        `key:"path" default:"/socket.io/" doc:"URL path of Socket.IO; begins and ends with /"`
	PingInterval        time.Duration `key:"ping_interval" default:"10s" min:"100ms" max:"10m" doc:"Time between heartbeats"`
	PingTimeout         time.Duration `key:"ping_timeout" default:"10s" min:"100ms" max:"10m" doc:"How long an answer to a heartbeat may take"`
	AllowEIO3           bool          `key:"allow_eio3" default:"true" doc:"Admit clients of socket.io-client 2.x"`
	EIO3PingInterval    time.Duration `key:"eio3_ping_interval" default:"25s" min:"100ms" max:"10m" doc:"Time between heartbeats of 2.x clients, which send them themselves"`
	EIO3PingTimeout     time.Duration `key:"eio3_ping_timeout" default:"60s" min:"100ms" max:"10m" doc:"How late a heartbeat of a 2.x client may be; hidden tabs are slow"`
	UpgradeTimeout      time.Duration `key:"upgrade_timeout" default:"10s" min:"100ms" max:"10m" doc:"How long the change from polling to WebSocket may take"`
	ConnectTimeout      time.Duration `key:"connect_timeout" default:"10s" min:"100ms" max:"10m" doc:"How long a client may take to send its CONNECT"`
	MaxPayload          int           `key:"max_payload" default:"65536" min:"1024" max:"16777216" doc:"Bytes of the largest frame taken from a client"`
	MaxQueueBytes       int           `key:"max_queue_bytes" default:"1048576" min:"1024" max:"1073741824" doc:"Bytes that may wait for one slow socket before it is closed"`
	EventsPerSecond     int           `key:"events_per_second" default:"20" min:"1" max:"100000" doc:"Events per second taken from one socket; bursts may be twice as large"`
	MaxSessionsPerUser  int           `key:"max_sessions_per_user" default:"10" min:"1" max:"100000" doc:"Open sockets of one user; above it the one silent for longest is ended"`
	HandshakesPerSecond int           `key:"handshakes_per_second" default:"0" min:"0" max:"1000000" doc:"Handshakes per second and client address; 0 is no limit"`
}

// Presence is the section presence.
type Presence struct {
	Grace         time.Duration `key:"grace" default:"5s" min:"0s" max:"1h" doc:"How long a user whose link was lost counts as reconnecting; 0 is not at all"`
	Debounce      time.Duration `key:"debounce" default:"10s" min:"10ms" max:"1h" doc:"A coming or going of one user is announced at most once in this time"`
	DetailMax     int           `key:"detail_max" default:"200" min:"1" max:"100000" doc:"Most users that a room is told of one by one"`
	NodeHeartbeat time.Duration `key:"node_heartbeat" default:"3s" min:"50ms" max:"1m" doc:"How often a node writes that it lives"`
	NodeTimeout   time.Duration `key:"node_timeout" default:"10s" min:"100ms" max:"10m" doc:"Silence after which the other nodes call a node dead; more than twice node_heartbeat"`
}

// Conference is the section conference.
type Conference struct {
	AutoCreate        bool          `key:"auto_create" default:"true" doc:"Make a conference when somebody enters one that nobody registered"`
	MaxTreeBytes      int           `key:"max_tree_bytes" default:"262144" min:"1024" max:"16777216" doc:"Bytes of the largest tree that REST may write"`
	PushMinInterval   time.Duration `key:"push_min_interval" default:"0s" min:"0s" max:"1s" doc:"Least time between two pushes of one tree; 0 is chosen by what a push takes"`
	DuplicateSessions string        `key:"duplicate_sessions" default:"multi" oneof:"multi|newest|oldest" doc:"One user twice in one conference: all stay, the newest stays, or the oldest stays"`
}

// Meeting is the section meeting. {conferenceId} and {userId} in MembersURL stand for the ids.
type Meeting struct {
	MembersURL  string `key:"members_url" doc:"GET gives the members of a conference that has none registered; may hold {conferenceId} and {userId}"`
	EndShareURL string `key:"end_share_url" doc:"POSTed to when the sharing of a screen was ended by rollcall"`
}

// Notice is the section notice.
type Notice struct {
	Retention  time.Duration `key:"retention" default:"4464h" min:"1m" max:"87600h" doc:"How long notices and their log are kept"`
	LogTree    string        `key:"log_tree" default:"summary" oneof:"summary|full|off" doc:"What the log says of a pushed tree"`
	AckTimeout time.Duration `key:"ack_timeout" default:"10s" min:"100ms" max:"10m" doc:"When a notice that wants an acknowledgement is first sent again"`
}

// Attendance is the section attendance.
type Attendance struct {
	Retention time.Duration `key:"retention" default:"8784h" min:"1m" max:"87600h" doc:"How long closed sessions are kept"`
}

// Delivery is the section webhook, the same for all Webhooks.
type Delivery struct {
	RetryBase time.Duration `key:"retry_base" default:"5s" min:"10ms" max:"1h" doc:"Pause before the first retry of a failed delivery; later ones grow"`
}

// Webhook is one entry of webhooks: an endpoint of the meeting backend and what it is told.
type Webhook struct {
	URL    string   `key:"url"`
	Secret Secret   `key:"secret"` // whsec_ and base64, as in Standard Webhooks
	Events []string `key:"events" oneof:"*|presence.online|presence.offline|conference.empty|conference.ended|screen_share.ended|timer.finished|sign_in|client.event|notice.acked|notice.unreached"`
}

// Console is the section console.
type Console struct {
	Session time.Duration `key:"session" default:"12h" min:"1s" max:"720h" doc:"How long a login to the admin pages lasts"`
}

// Tracing is the section tracing.
type Tracing struct {
	Endpoint string `key:"endpoint" doc:"http(s) URL of an OTLP collector; empty is no tracing"`
}

// Debug is the section debug.
type Debug struct {
	Pprof bool `key:"pprof" default:"false" doc:"Serve Go profiles under /debug/pprof"`
}

// Log is the section log.
type Log struct {
	Level  string `key:"level" default:"info" oneof:"debug|info|warn|error" doc:"Least level that is written"`
	Format string `key:"format" default:"text" oneof:"text|json" doc:"Form of a line"`
}
