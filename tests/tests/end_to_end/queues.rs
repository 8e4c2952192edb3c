//! Several receive queues, and so several CPUs that judge the packets of one source at once.

use std::{
    thread::available_parallelism,
    time::{Duration, Instant},
};

use anyhow::Result;
use lab::{
    agent::Agent,
    flood::Flood,
    stage::{INTERFACE, NOBODY, Stage},
};

use crate::{packets, stop};

/// Packets a second of the source, and as many at once.
const LIMIT: u64 = 10_000;
/// What each CPU sends.
const RATE_PPS: u64 = 50_000;
const FRAMES: u64 = 150_000;
/// A tick of the clock at most.
const TICK: Duration = Duration::from_millis(10);

#[test]
fn cpus_that_serve_one_source_share_its_limit() -> Result<()> {
    let cpus = available_parallelism()?.get().min(8);
    let stage = Stage::with_queues(cpus as u32)?;
    let limit = format!("{LIMIT}/s");
    let flags = ["--iface", INTERFACE, "--limit-packets", &limit];
    let agent = Agent::start(stage.host(), &flags)?;
    let frame = stage.packet(NOBODY.into()).udp(4000, 9);
    let frame = frame.payload([0; 18]).build();

    let begin = Instant::now();
    let floods = (0..cpus).map(|cpu| {
        let flood = Flood {
            rate_pps: Some(RATE_PPS),
            cpu,
            ..Flood::new(frame.clone(), FRAMES)
        };
        flood.start(&stage.client)
    });
    let floods = floods.collect::<Result<Vec<_>>>()?;
    for flood in floods {
        flood.wait()?;
    }
    let time = begin.elapsed() + TICK;
    let by_queue = stage.server.received_by_queue()?;
    assert_eq!(by_queue.len(), cpus);
    assert!(
        by_queue.iter().all(|count| *count > FRAMES / 2),
        "{by_queue:?}"
    );

    let passed = packets(&agent, "pass", "pass")?;
    let allowed = LIMIT + LIMIT * time.as_millis() as u64 / 1000;
    println!("{passed} of {allowed} passed, by {by_queue:?}");
    assert!(passed <= allowed + allowed / 20, "{passed} of {allowed}");
    assert!(passed >= LIMIT, "{passed}");
    assert!(packets(&agent, "drop", "limit_packets")? > LIMIT);
    stop(agent)
}
