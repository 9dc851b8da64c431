#!/usr/bin/env bash
# A meeting backend in the shell, with curl and openssl; listen needs socat too. What it is for: examples/README.md.
#
#   backend.sh tree 42 '{"topicInfo":{"title":"Budget"}}'
#   backend.sh notice lunch-1 '{"to":{"users":["anna"]},"title":"Lunch","body":"At noon"}'
#   backend.sh listen
set -euo pipefail
export LC_ALL=C # so that lengths are in bytes

url=${RC_URL:-http://127.0.0.1:8080}

# send METHOD PATH BODY [IDEMPOTENCY-KEY] prints the answer, or says on standard error what is wrong and fails. What rollcall has no time for now (429,
# 503), or what was not answered by it, is sent again, after as many seconds as Retry-After says. That is safe for both calls of this
# program: a merge patch may be applied twice, and a notice with the same Idempotency-Key goes out once.
send() {
	local attempt status pause
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	for attempt in 1 2 3 4 5; do
		# The API key comes by standard input: whatever is an argument, everybody on this machine sees in ps.
		status=$(curl --silent --connect-timeout 5 --max-time 15 --request "$1" --header 'Content-Type: application/json' --data-raw "$3" \
			${4:+--header "Idempotency-Key: $4"} --header @- --dump-header "$dir/headers" --output "$dir/answer" --write-out '%{http_code}' \
			"$url/api/v1$2" <<<"${RC_API_KEY:+Authorization: Bearer $RC_API_KEY}") || status=000
		case $status in
		2??) cat "$dir/answer" && return ;;
		000 | 429 | 5??) ;;
		409) grep -q '"idempotency_in_flight"' "$dir/answer" || break ;; # an earlier attempt is still being worked on
		*) break ;;
		esac
		((attempt < 5)) || break
		pause=$(sed -n 's/^retry-after: *\([0-9]*\).*/\1/Ip' "$dir/headers" 2>/dev/null || true)
		echo "$status, again in ${pause:=1} s" >&2
		sleep "$pause"
		rm -f "$dir"/*
	done
	echo "$status $(cat "$dir/answer" 2>/dev/null)" >&2 # application/problem+json: title, detail, code
	return 1
}

# receive answers one request, which socat hands to it on standard input.
receive() {
	local line length='' id='' timestamp='' signature='' body
	read -r line || return 0 # POST / HTTP/1.1
	[[ $line == "POST "* ]] || { answer '405 Method Not Allowed' && return; }
	while IFS= read -r line && [[ -n ${line%$'\r'} ]]; do
		line=${line%$'\r'}
		local name=${line%%:*} value=${line#*:}
		value=${value#"${value%%[! ]*}"}
		case ${name,,} in
		content-length) length=$value ;;
		webhook-id) id=$value ;;
		webhook-timestamp) timestamp=$value ;;
		webhook-signature) signature=$value ;;
		esac
	done
	[[ $length =~ ^[0-9]{1,7}$ ]] && ((10#$length <= 1 << 20)) || { answer '413 Content Too Large' && return; }
	[[ -n $id && $timestamp =~ ^[0-9]{1,11}$ && -n $signature ]] || { answer '400 Bad Request' && return; }
	IFS= read -rN "$((10#$length))" body || true
	verified "$id" "$timestamp" "$signature" "$body" || { answer '401 Unauthorized' && return; }
	# The same event may come again, with the same id: keep ids where you keep what came of the event. Answer when that is stored.
	echo "$id $body" >&3
	answer '204 No Content'
}

answer() { printf 'HTTP/1.1 %s\r\nConnection: close\r\n\r\n' "$1"; }

# verified ID TIMESTAMP SIGNATURES BODY says whether one of the signatures is that of rollcall (Standard Webhooks), and no older than five minutes.
verified() {
	local now expected given signatures
	printf -v now '%(%s)T' -1
	((now - 10#$2 <= 300 && 10#$2 - now <= 300)) || return 1 # somebody may have recorded it
	expected=v1,$(printf '%s.%s.%s' "$1" "$2" "$4" | hmac)
	read -ra signatures <<<"$3" # several while the secret changes
	for given in "${signatures[@]}"; do
		# Compared by their HMACs: how long that takes tells nothing about how much of a guess was right.
		[[ $(hmac <<<"$given") != "$(hmac <<<"$expected")" ]] || return 0
	done
	return 1
}

# hmac prints the HMAC-SHA256 of its input in base64. It is spelled out, as openssl takes the key as an argument only, which is seen in ps.
hmac() { { pad 36 && cat; } | openssl dgst -sha256 -binary | { pad 5c && cat; } | openssl dgst -sha256 -binary | base64; }

# pad prints the key, filled up to 64 bytes, with each byte XOR $1.
pad() {
	local key zeros byte bytes='' i
	key=$(base64 -d <<<"${RC_WEBHOOK_SECRET#whsec_}" | od -An -v -tx1 | tr -d ' \n')
	printf -v zeros '%0128d' 0
	key+=${zeros:${#key}}
	for ((i = 0; i < 128; i += 2)); do
		printf -v byte '\\x%02x' $((0x${key:i:2} ^ 0x$1))
		bytes+=$byte
	done
	printf "$bytes"
}

listen() {
	local address=${RC_LISTEN:-127.0.0.1:8000}
	[[ ${RC_WEBHOOK_SECRET:-} =~ ^whsec_[A-Za-z0-9+/]{1,86}={0,2}$ ]] || { echo 'RC_WEBHOOK_SECRET is whsec_ and the base64 of at most 64 bytes' >&2 && return 1; }
	echo "listening on http://$address"
	cd "$(dirname "$0")"
	exec 3>&1 socat -T 10 "TCP-LISTEN:${address##*:},bind=${address%:*},reuseaddr,fork,max-children=16" 'EXEC:./backend.sh receive'
}

case ${1:-}/$# in
tree/3) send PATCH "/conferences/$2/tree" "$3" ;;
notice/3) send POST /notices "$3" "$2" ;;
listen/1) listen ;;
receive/1) receive ;;
*) sed -n '4,6s/^# *//p' "$0" >&2 && exit 2 ;;
esac
