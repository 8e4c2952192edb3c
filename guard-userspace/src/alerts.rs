//! Alerts: rules over what the agent says of itself, and their delivery to receivers that nobody
//! has to trust. `docs/ALERTS.md` is the user's side of it.
//!
//! Once a second the agent's loop hands a snapshot to [`Alerts::observe`], which decides, and puts
//! messages into a queue in the state folder. Each receiver has a task that takes them from there,
//! so whatever a receiver does, the loop never waits for it. Without a receiver nothing is done.

mod causes;
mod client;
pub mod formats;
mod journal;
mod message;
mod queue;
pub mod rule;
mod rules;
pub(crate) mod status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::{sync::Notify, task::JoinSet};
use tracing::{info, warn};

use self::{
    client::Clients,
    message::Message,
    queue::Queue,
    rules::{Now, Rules},
    status::{ActiveAlert, AlertStatus},
    worker::Post,
};
use crate::{
    config::Receiver,
    state_file::{self, Loaded},
    status::Status,
};

/// The alerts that are on, for the next agent: a file in the state folder.
const ACTIVE_FILE: &str = "alerts-active.json";
/// How often it is tried to write what could not be written.
const MEND: Duration = Duration::from_secs(10);

/// The alerts of an agent. Its tasks end with it.
#[derive(Debug)]
pub(crate) struct Alerts {
    folder: PathBuf,
    running: Mutex<Option<Running>>,
}

/// Alerts while there is somebody to tell.
#[derive(Debug)]
struct Running {
    rules: Rules,
    shared: Arc<Shared>,
    posts: Vec<Arc<Post>>,
    tasks: BTreeMap<String, JoinSet<()>>,
    /// Tells the messages of this agent from those of others.
    run: u64,
    messages: u64,
    /// The file of what is on cannot be written, and that has been said.
    is_unwritten: bool,
    /// When it was last tried to write what could not be written.
    mended: Duration,
    /// What came of the requests to receivers that are gone.
    gone: Gone,
    /// Files of the state folder that could not be used.
    broken: Vec<String>,
}

/// Counts that stay when a receiver goes.
#[derive(Clone, Copy, Debug, Default)]
struct Gone {
    delivered: u64,
    failed: u64,
}

/// What the tasks share.
#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    clients: Clients,
    /// The name of this host.
    instance: String,
    /// What was wrong may have been mended.
    retry: Notify,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nobody leaves it half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Alerts {
    /// Those of an agent with this state folder. Nobody is told of anything yet.
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            running: Mutex::default(),
        }
    }

    /// From now on these are told. What waits in the queue stays there, and so do the alerts that
    /// are on. It takes the runtime of the agent.
    pub(crate) fn configure(&self, receivers: &[Receiver]) {
        let mut running = self.lock();
        if running.is_none() && !receivers.is_empty() {
            *running = Some(Running::start(&self.folder, clock()));
        }
        if let Some(running) = &mut *running {
            running.configure(receivers);
        }
    }

    /// Whether anybody is told.
    pub(crate) fn are_wanted(&self) -> bool {
        let running = self.lock();
        running
            .as_ref()
            .is_some_and(|running| !running.posts.is_empty())
    }

    /// Looks at a snapshot: once a second.
    pub(crate) fn observe(&self, status: &Status) {
        if let Some(running) = &mut *self.lock() {
            running.observe(status, clock(), &self.folder);
        }
    }

    /// What there is to say of files of the state folder that could not be used.
    pub(crate) fn broken(&self) -> Vec<String> {
        let running = self.lock();
        let broken = running.as_ref().map(|running| running.broken.clone());
        broken.unwrap_or_default()
    }

    /// What there is to say of it; nothing when nobody is told.
    pub(crate) fn status(&self) -> Option<AlertStatus> {
        let running = self.lock();
        let running = running.as_ref()?;
        (!running.posts.is_empty()).then(|| running.status())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        // Nobody leaves it half changed.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    fn start(folder: &Path, now: Now) -> Self {
        let queue = Queue::load(folder);
        let active = load_active(folder);
        let broken = queue.warning().map(str::to_owned);
        let broken = broken.into_iter().chain(active.warning).collect();
        let shared = Shared {
            queue: Mutex::new(queue),
            clients: Clients::default(),
            instance: host_name(),
            retry: Notify::new(),
        };
        Self {
            rules: Rules::resume(active.value, now),
            shared: Arc::new(shared),
            posts: Vec::new(),
            tasks: BTreeMap::new(),
            run: now.unix_ms,
            messages: 0,
            is_unwritten: false,
            mended: now.elapsed,
            gone: Gone::default(),
            broken,
        }
    }

    fn configure(&mut self, receivers: &[Receiver]) {
        let ids = |posts: &[Arc<Post>]| -> BTreeSet<String> {
            posts.iter().map(|post| post.id.clone()).collect()
        };
        let before = ids(&self.posts);
        let old = std::mem::take(&mut self.posts);
        for receiver in receivers {
            let same = old.iter().find(|post| post.receiver == *receiver);
            let post = same.cloned();
            self.posts
                .push(post.unwrap_or_else(|| Arc::new(Post::new(receiver.clone()))));
        }
        for post in &old {
            let stays = self.posts.iter().any(|other| Arc::ptr_eq(other, post));
            if !stays {
                // Ends a request that is under way.
                self.tasks.remove(&post.id);
                let course = post.course();
                self.gone.delivered += course.delivered;
                self.gone.failed += course.failed;
            }
        }
        self.shared.queue().serve(&before, &ids(&self.posts));
        for post in &self.posts {
            if !self.tasks.contains_key(&post.id) {
                let mut tasks = JoinSet::new();
                tasks.spawn(Arc::clone(post).serve(Arc::clone(&self.shared)));
                self.tasks.insert(post.id.clone(), tasks);
            }
            post.wake.notify_one();
        }
        self.shared.retry.notify_waiters();
    }

    fn observe(&mut self, status: &Status, now: Now, folder: &Path) {
        let transitions = self.rules.observe(status, now);
        if now.elapsed.saturating_sub(self.mended) >= MEND {
            self.mended = now.elapsed;
            self.mend(folder);
        }
        if transitions.is_empty() {
            return;
        }
        let has_changed = transitions.iter().any(|transition| {
            matches!(
                transition.step,
                rules::Step::Started | rules::Step::Resolved
            )
        });
        for transition in &transitions {
            log(transition);
        }
        let (run, messages) = (self.run, &mut self.messages);
        let grouped = message::group(transitions, now.unix_ms, || {
            *messages += 1;
            format!("{run:x}-{messages}")
        });
        for message in grouped {
            self.send(message);
        }
        if has_changed {
            self.save_active(folder);
        }
    }

    /// Writes down what could not be written before.
    fn mend(&mut self, folder: &Path) {
        self.shared.queue().mend();
        if self.is_unwritten {
            self.save_active(folder);
        }
    }

    fn send(&mut self, message: Message) {
        let mut queue = self.shared.queue();
        let wants = |post: &&Arc<Post>| {
            let receiver = &post.receiver;
            let is_told = !message.keeps_alive
                // Who has not heard of it yet does not forget it.
                || receiver.format.forgets() && queue.waiting(&post.id) == 0;
            receiver.rules.contains(&message.rule) && is_told
        };
        let posts: Vec<_> = self.posts.iter().filter(wants).collect();
        let waiting = posts.iter().map(|post| post.id.clone()).collect();
        queue.push(waiting, message);
        for post in posts {
            post.wake.notify_one();
        }
    }

    fn save_active(&mut self, folder: &Path) {
        let path = folder.join(ACTIVE_FILE);
        let new = folder.join(format!("{ACTIVE_FILE}.new"));
        let text = serde_json::to_vec(&self.rules.kept()).unwrap_or_default();
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
        if let Err(error) = &written
            && !self.is_unwritten
        {
            warn!(file = %path.display(), %error, "the next agent will not know which alerts are on");
            let _ = fs::remove_file(&new);
        }
        self.is_unwritten = written.is_err();
    }

    fn status(&self) -> AlertStatus {
        let queue = self.shared.queue();
        let posts = self.posts.iter();
        let receivers: Vec<_> = posts
            .map(|post| post.status(queue.waiting(&post.id)))
            .collect();
        let active = self.rules.active().map(|(rule, alert)| ActiveAlert {
            rule,
            severity: alert.severity,
            labels: alert.labels,
            summary: alert.summary,
            since: alert.started_ms / 1_000,
        });
        let dropped = queue.dropped();
        AlertStatus {
            active: active.collect(),
            queue: queue.len(),
            queue_written: queue.is_written(),
            delivered: self.gone.delivered
                + receivers.iter().map(|post| post.delivered).sum::<u64>(),
            failed: self.gone.failed + receivers.iter().map(|post| post.failed).sum::<u64>(),
            receivers,
            refused: dropped.refused,
            dropped: [
                ("full", dropped.full),
                ("refused", dropped.refused),
                ("unclaimed", dropped.unclaimed),
            ]
            .map(|(why, count)| (why.to_owned(), count))
            .into(),
        }
    }
}

/// Writes to the log what begins and what ends.
fn log(transition: &rules::Transition) {
    let alert = &transition.alert;
    let (rule, severity) = (transition.rule.name(), alert.severity.name());
    match transition.step {
        rules::Step::Started => {
            warn!(
                event = "alert",
                rule,
                severity,
                summary = alert.summary,
                "alert"
            );
        }
        rules::Step::Resolved => {
            info!(
                event = "alert_resolved",
                rule,
                severity,
                summary = alert.summary,
                "alert is over"
            );
        }
        rules::Step::News | rules::Step::Continues => {}
    }
}

/// The alerts that were on when an earlier agent ended.
fn load_active(folder: &Path) -> Loaded<Vec<rules::Kept>> {
    let otherwise = "alerts that were on, and still are, begin anew";
    state_file::load(folder, ACTIVE_FILE, otherwise)
}

/// This moment.
fn clock() -> Now {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Now {
        elapsed: START.elapsed(),
        unix_ms: since.map_or(0, |since| since.as_millis() as u64),
    }
}

/// The name of this host, which tells its alerts from those of others.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}
