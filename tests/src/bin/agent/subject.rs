//! The agent that is measured: started, restarted, reloaded and asked.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    agent::{Agent, Folder, LISTEN},
    bench::{
        lists,
        report::Recorder,
        table::{Table, count, mebibytes, milliseconds},
    },
    http,
    remains::resident_bytes,
    stage::{INTERFACE, Stage},
};

const STARTING: Table = Table::less("Starting", "ms");
const ANSWERING: Table = Table::less("Answering", "ms");
const SIZE: Table = Table::less("Answering", "KiB");
pub(crate) const MEMORY: Table = Table::less("Memory", "MiB");

/// How long a ready agent may take to say so in its log.
const LOG_TIMEOUT: Duration = Duration::from_secs(5);
/// Lines of the list that is imported, at most.
const IMPORTED: usize = 100_000;

/// In the agent's folder.
const CONFIGURATION: &str = "etc/guard.toml";

/// What the agent is told beside the defaults.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lists {
    /// Nothing.
    None,
    /// So many addresses of each family.
    Long(usize),
}

impl Lists {
    fn column(self) -> &'static str {
        match self {
            Self::None => "defaults",
            Self::Long(_) => "long lists",
        }
    }

    /// Folders with a configuration.
    fn folder(self) -> Result<Folder> {
        let folder = Folder::new()?;
        // The log is written to the folder above, and the folder of a configuration is watched.
        fs::create_dir(folder.join("etc"))?;
        let mut text = format!("interfaces = [\"{INTERFACE}\"]\n");
        if let Self::Long(addresses) = self {
            lists::Lists::new(addresses, addresses / 10)?.write(&folder.join("etc/lists"))?;
            text += "[[feed]]\nname = \"lists\"\nfile = \"lists\"\n";
        }
        fs::write(folder.join(CONFIGURATION), text)?;
        Ok(folder)
    }
}

/// Where it is measured.
pub(crate) struct Bench {
    pub(crate) stage: Stage,
}

impl Bench {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            stage: Stage::new()?,
        })
    }

    /// Starts it on these folders.
    pub(crate) fn start(&self, folder: Folder) -> Result<Agent> {
        let file = folder.join(CONFIGURATION).to_string_lossy().into_owned();
        Agent::start_in(self.stage.host(), folder, &["--config", &file])
    }

    /// Starts it with the defaults.
    pub(crate) fn start_plain(&self) -> Result<Agent> {
        self.start(Lists::None.folder()?)
    }

    /// Start to attached, as the agent counts it and as one who waits for it does; then a restart on
    /// what the first one left, from the signal to the end of it.
    pub(crate) fn starts(
        &self,
        lists: Lists,
        rounds: usize,
        recorder: &mut Recorder,
    ) -> Result<()> {
        let (mut attached, mut ready, mut restarted) = (Vec::new(), Vec::new(), Vec::new());
        let (mut resident, mut peak) = (Vec::new(), Vec::new());
        let mut folder = lists.folder()?;
        for _ in 0..rounds {
            let start = Instant::now();
            let mut agent = self.start(folder)?;
            ready.push(start.elapsed());
            attached.push(said_time(&mut agent, "protecting")?);
            let pid = agent.server().pid();
            resident.push(resident_bytes(pid)?);
            peak.push(peak_bytes(pid)?);
            let start = Instant::now();
            let agent = self.start(agent.stop()?.folder)?;
            restarted.push(start.elapsed());
            folder = agent.stop()?.folder;
        }
        let column = lists.column();
        for (row, times) in [
            ("start to attached, as it says", &attached),
            ("start to ready", &ready),
            ("stop and start to ready", &restarted),
        ] {
            STARTING.add(recorder, row, column, milliseconds(times))?;
        }
        MEMORY.add(recorder, "in RAM", column, all_mebibytes(&resident))?;
        MEMORY.add(recorder, "most in RAM so far", column, all_mebibytes(&peak))?;
        Ok(())
    }

    /// What it takes to answer.
    pub(crate) fn answers(
        &self,
        lists: Lists,
        rounds: usize,
        recorder: &mut Recorder,
    ) -> Result<()> {
        let agent = self.start(lists.folder()?)?;
        let commands: [(&str, &[&str]); 4] = [
            ("guard reload", &["reload"]),
            ("guard status", &["status"]),
            ("guard deny add", &["deny", "add", "192.0.2.77"]),
            ("guard deny remove", &["deny", "remove", "192.0.2.77"]),
        ];
        let mut times = vec![Vec::new(); commands.len()];
        let (mut scraped, mut sizes) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            for ((_, words), times) in commands.iter().zip(&mut times) {
                times.push(time_of(&agent, words)?);
            }
            let start = Instant::now();
            let answer = http::get(self.stage.host(), LISTEN, "/metrics")?;
            scraped.push(start.elapsed());
            sizes.push(answer.body.len() as u64);
        }
        let column = lists.column();
        for ((row, _), times) in commands.iter().zip(&times) {
            ANSWERING.add(recorder, row, column, milliseconds(times))?;
        }
        ANSWERING.add(recorder, "a scrape", column, milliseconds(&scraped))?;
        let sizes = all_mebibytes(&sizes).into_iter().map(|size| size * 1024.0);
        SIZE.add(recorder, "a scrape's size", column, sizes.collect())?;
        agent.stop()?;
        Ok(())
    }

    /// What it takes to import so many addresses, at most [`IMPORTED`], into an agent that has none.
    pub(crate) fn imports(
        &self,
        addresses: usize,
        rounds: usize,
        recorder: &mut Recorder,
    ) -> Result<()> {
        let addresses = addresses.min(IMPORTED);
        let mut times = Vec::new();
        for _ in 0..rounds {
            let folder = Lists::None.folder()?;
            let file = folder.join("imported");
            lists::Lists::new(addresses / 2, 0)?.write(&file)?;
            let agent = self.start(folder)?;
            times.push(time_of(
                &agent,
                &["deny", "import", &file.to_string_lossy()],
            )?);
            agent.stop()?;
        }
        let row = format!("guard deny import, {} addresses", count(addresses / 2 * 2));
        ANSWERING.add(recorder, &row, Lists::None.column(), milliseconds(&times))
    }
}

fn all_mebibytes(bytes: &[u64]) -> Vec<f64> {
    bytes.iter().copied().map(mebibytes).collect()
}

/// How long a command of an agent takes, from start to end.
fn time_of(agent: &Agent, words: &[&str]) -> Result<Duration> {
    let start = Instant::now();
    let output = agent.cli(words)?;
    let time = start.elapsed();
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "guard {words:?}: {said}");
    Ok(time)
}

/// The time in the log line with this message, which may come a little after the agent is ready.
fn said_time(agent: &mut Agent, message: &str) -> Result<Duration> {
    let quoted = format!("\"{message}\"");
    agent.server().wait_for_line(&quoted, LOG_TIMEOUT)?;
    let log = agent.log();
    let line = log.with("message", message).next();
    let line = line.with_context(|| format!("no `{message}` in {}", log.text()))?;
    let time = line["milliseconds"].as_u64().context("no time")?;
    Ok(Duration::from_millis(time))
}

/// The most memory in RAM that a process ever had.
fn peak_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: u64 = kilobytes.context("no VmHWM")?.parse()?;
    Ok(kilobytes * 1024)
}
