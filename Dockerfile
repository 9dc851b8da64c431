# The service as an image: one static binary on nothing, run by a user who is not root.
#
#   docker build --build-arg VERSION=0.1.0 -t rollcall .

FROM node:20-bookworm-slim AS web
WORKDIR /src
COPY web/package.json web/package-lock.json web/
RUN cd web && npm ci --no-audit --no-fund
COPY clients/js/ clients/js/
COPY web/ web/
RUN cd web && npm run build

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd/ cmd/
COPY internal/ internal/
COPY sql/ sql/
COPY web/ web/
COPY --from=web /src/web/dist/ web/dist/
ARG VERSION=0.1.0-dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/server ./cmd/server \
    && mkdir -p /out/data /out/etc/rollcall /out/tmp

FROM scratch
# For webhooks, keys of tokens and traces over https.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/server /server
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build --chown=65532:65532 /out/tmp /tmp
COPY --from=build /out/etc/rollcall /etc/rollcall
USER 65532:65532

# config.yaml is read from here if it is mounted. On another address than loopback the service wants auth.mode jwt, or to be
# told that everybody may do everything.
WORKDIR /etc/rollcall
ENV ROLLCALL_HTTP_ADDR=0.0.0.0:8080 ROLLCALL_DATABASE_DSN=/data/rollcall.db
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD ["/server", "ready"]
ENTRYPOINT ["/server"]
