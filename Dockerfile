# The images of the store. `cargo tovar images` builds them all; by hand, with BuildKit:
#   docker build --target orders -t localhost/tovar/orders:0.1.0 .
# A service's image also holds the relay, which runs beside it as a container of its own: the two are of one build.
# What each program is made of lies in /usr/local/share/sbom, as CycloneDX.
ARG BUILDER_IMAGE=rust:1.95-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1
# glibc, libgcc and the authorities of the web are all that the binaries need.
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f
# Where the binaries come from: `compiled` here, or `packed` from the context's folder of built ones.
ARG BINARIES=compiled

FROM ${BUILDER_IMAGE} AS compiled
WORKDIR /src
COPY . .
ARG PROFILE=release
# The caches keep crates and objects between builds; what is to stay is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --profile "$PROFILE" --bins \
      -p users -p billing -p orders -p warehouse -p delivery -p notifications \
      -p outbox-relay -p gateway -p topics -p sbom \
    && mkdir /bins \
    && built="target/$(test "$PROFILE" = dev && echo debug || echo "$PROFILE")" \
    && programs="users billing orders warehouse delivery notifications outbox-relay gateway topics" \
    && (cd "$built" && cp $programs /bins/) \
    && "$built/sbom" /bins $programs

FROM scratch AS packed
COPY users billing orders warehouse delivery notifications outbox-relay gateway topics *.cdx.json /bins/

FROM ${BINARIES} AS binaries

FROM ${RUNTIME_IMAGE} AS runtime
ENV LOG_FORMAT=json OPS_LISTEN=0.0.0.0:9090
# By number, so that Kubernetes can tell that it is not root.
USER 65532:65532
EXPOSE 8080 9090

FROM runtime AS service
ENV HTTP_LISTEN=0.0.0.0:8080
COPY --from=binaries /bins/outbox-relay /usr/local/bin/
COPY --from=binaries /bins/outbox-relay.cdx.json /usr/local/share/sbom/

FROM service AS users
COPY --from=binaries /bins/users /usr/local/bin/
COPY --from=binaries /bins/users.cdx.json /usr/local/share/sbom/
ENTRYPOINT ["/usr/local/bin/users"]

FROM service AS billing
COPY --from=binaries /bins/billing /usr/local/bin/
COPY --from=binaries /bins/billing.cdx.json /usr/local/share/sbom/
ENTRYPOINT ["/usr/local/bin/billing"]

FROM service AS orders
COPY --from=binaries /bins/orders /usr/local/bin/
COPY --from=binaries /bins/orders.cdx.json /usr/local/share/sbom/
ENTRYPOINT ["/usr/local/bin/orders"]

FROM service AS warehouse
COPY --from=binaries /bins/warehouse /usr/local/bin/
COPY --from=binaries /bins/warehouse.cdx.json /usr/local/share/sbom/
ENTRYPOINT ["/usr/local/bin/warehouse"]

FROM service AS delivery
COPY --from=binaries /bins/delivery /usr/local/bin/
COPY --from=binaries /bins/delivery.cdx.json /usr/local/share/sbom/
ENTRYPOINT ["/usr/local/bin/delivery"]

FROM service AS notifications
COPY --from=binaries /bins/notifications /usr/local/bin/
COPY --from=binaries /bins/notifications.cdx.json /usr/local/share/sbom/
ENTRYPOINT ["/usr/local/bin/notifications"]

FROM runtime AS gateway
ENV GATEWAY_LISTEN=0.0.0.0:8080
COPY --from=binaries /bins/gateway /usr/local/bin/
COPY --from=binaries /bins/gateway.cdx.json /usr/local/share/sbom/
ENTRYPOINT ["/usr/local/bin/gateway"]

FROM runtime AS topics
COPY --from=binaries /bins/topics /usr/local/bin/
COPY --from=binaries /bins/topics.cdx.json /usr/local/share/sbom/
ENTRYPOINT ["/usr/local/bin/topics"]
