//! Who visits whom, and what has to be said of it.

use anyhow::Result;
use lab::servers::postgres::STRICT;

use crate::{
    clients::Clients,
    ledger::{Ledger, Verdict},
    town::{
        HAPROXY_ASKED, HAPROXY_PLAIN, HAPROXY_TLS, NGINX_ASKED, NGINX_H2C, NGINX_MOVED,
        NGINX_PLAIN, NGINX_PROXY, NGINX_TLS, OPENSSL, POSTGRES, REDIS, REDIS_TLS, SSH, Town,
    },
};

const TLS: Verdict = ("encrypted", "tls");
const SERVED: Verdict = ("plaintext_served", "http1");
const ATTEMPT: Verdict = ("plaintext_attempt", "http1");

/// A thousand connections, times `times`, that are encrypted.
pub(crate) fn tls(town: &Town, times: u64, ledger: &mut Ledger) -> Result<()> {
    let clients = Clients::new(town);
    let made = clients.h2load("https", NGINX_TLS, &[], 300 * times)?;
    ledger.note("h2load", NGINX_TLS, TLS, made);
    let made = clients.wrk("https", NGINX_TLS, 200 * times)?;
    ledger.note("wrk", NGINX_TLS, TLS, made);
    let made = clients.curl("https", NGINX_TLS, &[], 200, 100 * times)?;
    ledger.note("curl", NGINX_TLS, TLS, made);
    let made = clients.s_client(NGINX_TLS, 30 * times)?;
    ledger.note("openssl s_client", NGINX_TLS, TLS, made);
    let made = clients.curl(
        "https",
        NGINX_PROXY,
        &["--haproxy-protocol"],
        200,
        50 * times,
    )?;
    ledger.note("curl", NGINX_PROXY, TLS, made);
    let made = clients.h2load("https", HAPROXY_TLS, &["--h1"], 150 * times)?;
    ledger.note("h2load", HAPROXY_TLS, TLS, made);
    let made = clients.s_client(OPENSSL, 30 * times)?;
    ledger.note("openssl s_client", OPENSSL, TLS, made);
    let made = clients.curl("https", OPENSSL, &[], 200, 50 * times)?;
    ledger.note("curl", OPENSSL, TLS, made);
    let made = clients.redis_benchmark(REDIS_TLS, &["--tls", "--insecure"], 50 * times)?;
    ledger.note("redis-benchmark", REDIS_TLS, TLS, made);
    let made = clients.redis_cli(REDIS_TLS, "--tls --insecure", "PONG", 5 * times)?;
    ledger.note("redis-cli", REDIS_TLS, TLS, made);
    let database = ("encrypted", "postgres");
    let made = clients.pgbench(POSTGRES, "require", 50 * times)?;
    ledger.note("pgbench", POSTGRES, database, made);
    let made = clients.psql(POSTGRES, STRICT, "require", "does not exist", 5 * times)?;
    ledger.note("psql", POSTGRES, database, made);
    let shell = ("encrypted", "ssh");
    let made = clients.keyscan(SSH, 25 * times)?;
    ledger.note("ssh-keyscan", SSH, shell, made);
    let made = clients.ssh(SSH, 5 * times)?;
    ledger.note("ssh", SSH, shell, made);
    Ok(())
}

/// A thousand connections, times `times`, that are not.
pub(crate) fn plain(town: &Town, times: u64, ledger: &mut Ledger) -> Result<()> {
    let clients = Clients::new(town);
    let made = clients.h2load("http", NGINX_PLAIN, &["--h1"], 200 * times)?;
    ledger.note("h2load", NGINX_PLAIN, SERVED, made);
    let made = clients.wrk("http", NGINX_PLAIN, 250 * times)?;
    ledger.note("wrk", NGINX_PLAIN, SERVED, made);
    let made = clients.curl("http", NGINX_PLAIN, &[], 200, 50 * times)?;
    ledger.note("curl", NGINX_PLAIN, SERVED, made);
    let rejected = ("rejected", "http1");
    let made = clients.h2load("http", NGINX_ASKED, &["--h1"], 100 * times)?;
    ledger.note("h2load", NGINX_ASKED, rejected, made);
    let made = clients.curl("http", NGINX_ASKED, &[], 400, 30 * times)?;
    ledger.note("curl", NGINX_ASKED, rejected, made);
    let redirected = ("redirected", "http1");
    let made = clients.wrk("http", NGINX_MOVED, 50 * times)?;
    ledger.note("wrk", NGINX_MOVED, redirected, made);
    let made = clients.curl("http", NGINX_MOVED, &[], 301, 30 * times)?;
    ledger.note("curl", NGINX_MOVED, redirected, made);
    let made = clients.h2load("http", NGINX_H2C, &[], 100 * times)?;
    ledger.note("h2load", NGINX_H2C, ("plaintext_served", "http2"), made);
    let made = clients.wrk("http", HAPROXY_PLAIN, 100 * times)?;
    ledger.note("wrk", HAPROXY_PLAIN, SERVED, made);
    let redis = ("plaintext_served", "redis");
    let made = clients.redis_benchmark(REDIS, &[], 50 * times)?;
    ledger.note("redis-benchmark", REDIS, redis, made);
    let made = clients.redis_cli(REDIS, "", "PONG", 5 * times)?;
    ledger.note("redis-cli", REDIS, redis, made);
    let made = clients.pgbench(POSTGRES, "disable", 50 * times)?;
    ledger.note("pgbench", POSTGRES, ("plaintext_served", "postgres"), made);
    let made = clients.psql(POSTGRES, STRICT, "disable", "no encryption", 5 * times)?;
    ledger.note("psql", POSTGRES, ("rejected", "postgres"), made);
    Ok(())
}

/// Those who do not speak what the server does, or nothing at all.
pub(crate) fn strangers(town: &Town, times: u64, ledger: &mut Ledger) -> Result<()> {
    let clients = Clients::new(town);
    let made = clients.knock(NGINX_PLAIN, 20 * times)?;
    ledger.note("health check", NGINX_PLAIN, ("empty", "unknown"), made);
    // haproxy closes without a word where it waits for TLS.
    for service in [SSH, REDIS, POSTGRES, HAPROXY_ASKED] {
        let made = clients.curl("http", service, &[], 0, 10 * times)?;
        ledger.note("curl", service, ATTEMPT, made);
    }
    let made = clients.redis_cli(REDIS_TLS, "", "Error", 5 * times)?;
    ledger.note("redis-cli", REDIS_TLS, ("rejected", "redis"), made);
    Ok(())
}

/// Some of them once more, in small segments: no answer fits into one.
pub(crate) fn in_pieces(town: &Town, times: u64, ledger: &mut Ledger) -> Result<()> {
    town.shrink_segments()?;
    let clients = Clients::new(town);
    let web = [
        ("https", NGINX_TLS, TLS, 200),
        ("https", HAPROXY_TLS, TLS, 200),
        ("http", NGINX_PLAIN, SERVED, 200),
        ("http", NGINX_ASKED, ("rejected", "http1"), 400),
        ("http", NGINX_MOVED, ("redirected", "http1"), 301),
    ];
    for (scheme, service, verdict, status) in web {
        let made = clients.curl(scheme, service, &[], status, 10 * times)?;
        ledger.note("curl", service, verdict, made);
    }
    let made = clients.h2load("http", NGINX_H2C, &[], 10 * times)?;
    ledger.note("h2load", NGINX_H2C, ("plaintext_served", "http2"), made);
    for (mode, verdict) in [("require", "encrypted"), ("disable", "plaintext_served")] {
        let made = clients.pgbench(POSTGRES, mode, 10 * times)?;
        ledger.note("pgbench", POSTGRES, (verdict, "postgres"), made);
    }
    let made = clients.keyscan(SSH, 5 * times)?;
    ledger.note("ssh-keyscan", SSH, ("encrypted", "ssh"), made);
    Ok(())
}
