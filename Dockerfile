# hookspool in an image of one static binary.
#
#   docker build -t hookspool .
#   docker run -v hookspool:/var/lib/hookspool -v ./hookspool.toml:/etc/hookspool/hookspool.toml:ro hookspool
#
# In a container the listeners must be reachable from outside of it: set server.listen to
# [":8470"]; an admin_listen beyond loopback needs an admin_token.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd ./cmd
COPY relay ./relay
COPY spool ./spool
ARG VERSION=dev
# TAGS=otel: can export traces.
ARG TAGS=
# CGO off: the pure Go resolver, which the address rules count on, and a binary without a libc.
RUN CGO_ENABLED=0 go build -trimpath -tags "${TAGS}" \
      -ldflags "-s -w -X main.version=${VERSION}" -o /out/hookspool ./cmd/hookspool
# scratch has no mkdir, so the spool's directory is made here, for the user below.
RUN mkdir -p /out/spool /out/tmp && chmod 0700 /out/spool && chmod 1777 /out/tmp

FROM scratch
LABEL org.opencontainers.image.title="hookspool" \
      org.opencontainers.image.description="Durable webhook relay in one binary" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/hookspool /hookspool
COPY --from=build --chown=65532:65532 /out/spool /var/lib/hookspool
COPY --from=build --chown=65532:65532 /out/tmp /tmp
# spool.dir is "./hookspool-data" unless the config says otherwise: the working directory is the volume.
WORKDIR /var/lib/hookspool
USER 65532:65532
VOLUME /var/lib/hookspool
EXPOSE 8470 8471
# There is no shell and no curl in the image; the binary checks itself.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/hookspool", "healthcheck"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/hookspool"]
CMD ["serve"]
