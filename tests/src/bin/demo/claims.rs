//! What the demo promises, checked.

use std::{ops::RangeInclusive, time::Duration};

use crate::{
    Evidence,
    floods::{FRAMES_PROMISED, Outcome},
    scene::{CONNECTIONS_PER_SECOND, PACKETS_PER_SECOND},
    text::{self, commas},
};

/// A client whose connection attempt is dropped tries again after a second.
const PATIENCE: Duration = Duration::from_secs(1);

/// A sentence, whether it holds, and the figures behind it.
struct Claim {
    sentence: &'static str,
    holds: bool,
    figures: String,
}

/// Prints each claim and returns those that do not hold.
pub(crate) fn check(evidence: &Evidence) -> Vec<&'static str> {
    text::heading("Claims");
    let mut failed = Vec::new();
    let claims = [
        floods(evidence),
        client(evidence),
        plaintext(evidence),
        end(evidence),
    ];
    for claim in claims.into_iter().flatten() {
        let mark = if claim.holds { "holds " } else { "FAILED" };
        say!("{mark}  {}", claim.sentence);
        say!("        {}", claim.figures);
        if !claim.holds {
            failed.push(claim.sentence);
        }
    }
    failed
}

fn floods(evidence: &Evidence) -> Vec<Claim> {
    let floods = &evidence.floods;
    let (udp, syn) = (&floods.udp, &floods.syn);
    let [udp_allowed, syn_allowed] = [
        allowed(udp, PACKETS_PER_SECOND),
        allowed(syn, CONNECTIONS_PER_SECOND),
    ];
    let sent = udp.sent.frames + syn.sent.frames;
    let seen = udp.got_through + syn.got_through + floods.dropped_in_all() + floods.lost;
    vec![
        Claim {
            sentence: "each flood sent at least 500,000 packets",
            holds: udp.sent.frames.min(syn.sent.frames) >= FRAMES_PROMISED,
            figures: format!(
                "{} UDP at {}/s, {} SYN at {}/s",
                commas(udp.sent.frames),
                commas(udp.sent.rate()),
                commas(syn.sent.frames),
                commas(syn.sent.rate())
            ),
        },
        Claim {
            sentence: "no source got through more than its limit, and hardly less",
            holds: udp_allowed.contains(&udp.got_through) && syn_allowed.contains(&syn.got_through),
            figures: format!(
                "UDP {} of {}, SYN {} of {}",
                commas(udp.got_through),
                range(&udp_allowed),
                commas(syn.got_through),
                range(&syn_allowed)
            ),
        },
        Claim {
            sentence: "guard counted every packet that it dropped, and no other",
            holds: sent.abs_diff(seen) <= sent / 1000 && floods.dropped_otherwise == 0,
            figures: format!(
                "sent {} = got through {} + dropped {} + lost {}, but for {}",
                commas(sent),
                commas(udp.got_through + syn.got_through),
                commas(floods.dropped_in_all()),
                commas(floods.lost),
                commas(sent.abs_diff(seen))
            ),
        },
    ]
}

/// What a limit with a burst of one second lets through of a flood, give or take.
fn allowed(flood: &Outcome, per_second: u64) -> RangeInclusive<u64> {
    let time = flood.sent.time + Duration::from_secs(1);
    let expected = per_second * u64::try_from(time.as_millis()).unwrap_or(u64::MAX) / 1000;
    expected * 3 / 4..=expected * 11 / 10
}

fn range(range: &RangeInclusive<u64>) -> String {
    format!("{} to {}", commas(*range.start()), commas(*range.end()))
}

fn client(evidence: &Evidence) -> Vec<Claim> {
    let (before, during) = (&evidence.before, &evidence.during);
    let failures: Vec<_> = before.failures.iter().chain(&during.failures).collect();
    let longest = during.percentile(100);
    vec![
        Claim {
            sentence: "every HTTPS request succeeded",
            holds: failures.is_empty() && before.requests() > 0 && during.requests() > 0,
            figures: match failures.first() {
                None => format!("{} before, {} during", before.requests(), during.requests()),
                Some(first) => format!("{} failed, the first: {first:?}", failures.len()),
            },
        },
        Claim {
            sentence: "no connection of the HTTPS client was dropped",
            holds: longest < PATIENCE,
            figures: format!("the longest request took {}", text::ms(longest)),
        },
    ]
}

fn plaintext(evidence: &Evidence) -> Vec<Claim> {
    let flagged = evidence.plaintext.event.is_some();
    let described = evidence.plaintext.is_described();
    let served = evidence.plaintext.answer.is_ok();
    let token = &evidence.plaintext.token;
    let places = [
        ("the log", &evidence.log),
        ("/metrics", &evidence.metrics_text),
    ];
    let leaks: Vec<_> = places
        .iter()
        .filter(|(_, text)| text.contains(token))
        .collect();
    vec![
        Claim {
            sentence: "the plaintext request was flagged, and served",
            holds: flagged && served,
            figures: format!("flagged: {flagged}, served: {served}"),
        },
        Claim {
            sentence: "the event tells the request and that a Bearer token came with it",
            holds: described,
            figures: format!("told: {described}"),
        },
        Claim {
            sentence: "the token is nowhere in the log, the events or the metrics",
            holds: leaks.is_empty(),
            figures: match leaks.first() {
                None => format!("searched {} bytes", commas(size(&places))),
                Some((place, _)) => format!("it is in {place}"),
            },
        },
    ]
}

fn size(places: &[(&str, &String)]) -> u64 {
    places.iter().map(|(_, text)| text.len() as u64).sum()
}

fn end(evidence: &Evidence) -> Vec<Claim> {
    let leftovers = &evidence.leftovers.0;
    let code = evidence.exit_code;
    vec![
        Claim {
            sentence: "guard ended with exit code 0 when asked to",
            holds: code == Some(0),
            figures: code.map_or("killed by a signal".to_owned(), |code| {
                format!("exit code {code}")
            }),
        },
        Claim {
            sentence: "nothing is left: no program, pin, process or namespace",
            holds: leftovers.is_empty(),
            figures: if leftovers.is_empty() {
                "nothing found".to_owned()
            } else {
                leftovers.join(", ")
            },
        },
    ]
}
