# syntax=docker/dockerfile:1

# --- build: the same two steps as anywhere else ------------------------------------------------
FROM debian:13-slim AS build
WORKDIR /src
# First what changes rarely: packages and mbedTLS stay in the cache while the source changes.
COPY engine/setup.sh engine/setup.sh
COPY proto/tls/mbedtls proto/tls/mbedtls
COPY test/support/verifier test/support/verifier
RUN sh engine/setup.sh
COPY . .
RUN cmake -S . -B /build -DCMAKE_BUILD_TYPE=Release -DHOOKWHEEL_TESTS=OFF \
    && cmake --build /build --target hookwheel -j "$(nproc)" \
    && strip /build/hookwheel

# --- what runs ---------------------------------------------------------------------------------
FROM debian:13-slim
# redis-server is for an installation without HOOKWHEEL_REDIS_URL: Hookwheel starts it itself.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libuv1t64 libcares2 \
        libhiredis1.1.0 libjansson4 libllhttp9.2 libnettle8t64 redis-server \
    && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log \
    && useradd --uid 10420 --no-create-home --shell /usr/sbin/nologin hookwheel \
    && install -d -o hookwheel -g hookwheel -m 0700 /var/lib/hookwheel
COPY --from=build /build/hookwheel /usr/local/bin/hookwheel
USER hookwheel
VOLUME /var/lib/hookwheel
ENV HOOKWHEEL_DATA_DIR=/var/lib/hookwheel \
    HOOKWHEEL_LISTEN=0.0.0.0:8420 \
    HOOKWHEEL_OPS_LISTEN=0.0.0.0:9420 \
    HOOKWHEEL_DRAIN_TIMEOUT=8s
EXPOSE 8420 9420
HEALTHCHECK --interval=10s --timeout=4s --start-period=15s --retries=3 \
    CMD ["hookwheel", "health"]
ENTRYPOINT ["hookwheel"]
CMD ["serve"]
