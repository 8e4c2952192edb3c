//! Processor time while nothing happens, and while events are at their cap.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use lab::{
    bench::{
        report::Recorder,
        table::{Table, mebibytes},
    },
    flood::Flood,
    frames::{Frame, tcp},
    remains::{processor_time, resident_bytes},
    servers::Nginx,
    stage::{NOBODY, SERVER, Stage},
};

use crate::subject::{Bench, MEMORY};

const SHARE: Table = Table::less("Processor time", "%");
const EVENTS: Table = Table::neither("Processor time", "/s");
const COLUMN: &str = "defaults";

const PLAIN_PORT: u16 = 8080;
/// Far above what is sampled of refused packets.
const FLOOD_PPS: u64 = 20_000;
/// Far above what is sampled of requests in clear.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(5);
/// What a start leaves behind is over by then.
const SETTLED: Duration = Duration::from_secs(2);

/// Shares of a core, in percent.
pub(crate) fn measure(bench: &Bench, period: Duration, recorder: &mut Recorder) -> Result<()> {
    let stage = &bench.stage;
    let _nginx = Nginx::start(stage.host(), &[], &[PLAIN_PORT])?;
    let mut agent = bench.start_plain()?;
    let pid = agent.server().pid();
    thread::sleep(SETTLED);
    SHARE.add(recorder, "idle", COLUMN, vec![share(pid, period)?])?;

    let before = agent.metrics()?;
    let stop = AtomicBool::new(false);
    let busy = thread::scope(|scope| {
        let flood = Flood {
            rate_pps: Some(FLOOD_PPS),
            ..Flood::new(refused(stage), u64::MAX)
        };
        let flood = flood.start(&stage.client)?;
        let asking = scope.spawn(|| keep_asking(stage, &stop));
        thread::sleep(SETTLED);
        let busy = share(pid, period);
        stop.store(true, Ordering::Relaxed);
        asking.join().expect("requests do not panic")?;
        flood.stop();
        flood.wait()?;
        busy
    })?;
    SHARE.add(recorder, "events at their cap", COLUMN, vec![busy])?;
    let after = agent.metrics()?;
    for outcome in ["emitted", "suppressed", "lost"] {
        let labels = [("outcome", outcome)];
        let sum = |metrics: &lab::metrics::Metrics| metrics.sum("guard_events_total", &labels);
        let rate = (sum(&after) - sum(&before)) / (SETTLED + period).as_secs_f64();
        EVENTS.add(
            recorder,
            &format!("events {outcome} then"),
            COLUMN,
            vec![rate],
        )?;
    }
    let resident = vec![mebibytes(resident_bytes(pid)?)];
    MEMORY.add(recorder, "in RAM, events at their cap", COLUMN, resident)?;
    agent.stop()?;
    Ok(())
}

/// Processor time of a process during a period, in percent of it.
fn share(pid: u32, period: Duration) -> Result<f64> {
    let (before, start) = (processor_time(pid)?, Instant::now());
    thread::sleep(period);
    let used = processor_time(pid)?.saturating_sub(before);
    Ok(used.as_secs_f64() / start.elapsed().as_secs_f64() * 100.0)
}

/// A segment that no connection takes.
fn refused(stage: &Stage) -> Frame {
    let packet = stage.packet(IpAddr::V4(NOBODY)).tcp(4000, PLAIN_PORT);
    packet.flags(tcp::SYN | tcp::FIN).build()
}

/// Asks in clear, again and again, a connection each.
fn keep_asking(stage: &Stage, stop: &AtomicBool) -> Result<()> {
    const REQUEST: &[u8] =
        b"GET /v1/orders HTTP/1.1\r\nHost: guard.test\r\nAuthorization: Bearer a\r\n\
        Connection: close\r\n\r\n";
    stage.client.namespace().run(|| {
        while !stop.load(Ordering::Relaxed) {
            let mut stream = TcpStream::connect(SocketAddr::from((SERVER, PLAIN_PORT)))?;
            stream.write_all(REQUEST)?;
            stream.read_to_end(&mut Vec::new())?;
            thread::sleep(BETWEEN_REQUESTS);
        }
        Ok(())
    })
}
