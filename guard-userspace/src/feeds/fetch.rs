//! One list is fetched: bounded in size, time and detours, and read before anybody relies on it.

use std::{
    fs::{self, File},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED},
    redirect::{Attempt, Policy},
};

use super::{About, Copies};
use crate::{
    config::{FeedUrl, MAX_FEED_BYTES, list},
    state_file,
};

/// For the connection, and between two pieces of the answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// For all of it.
const WHOLE: Duration = Duration::from_mins(10);
/// Detours that a server may send us on.
const REDIRECTS: usize = 5;
/// The longest header that is kept to be sent back.
const LONGEST_MARK: usize = 1_024;

/// What is to be fetched.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) name: String,
    pub(crate) url: FeedUrl,
    pub(crate) refresh: Duration,
    pub(crate) everyone: bool,
    pub(crate) copies: Copies,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// What is there already.
    Same(About),
    /// Another list, in the draft.
    New {
        about: About,
        draft: PathBuf,
        entries: usize,
    },
}

impl Order {
    /// A mark of the address.
    pub(crate) fn address(&self) -> u64 {
        // Only ever held against what the same build has noted: else the list is fetched anew.
        let mut hasher = DefaultHasher::new();
        self.url.url().as_str().hash(&mut hasher);
        hasher.finish()
    }
}

/// Fetches a list, unless the server says that the copy is still what it has. `now` is in seconds
/// since 1970.
///
/// # Errors
/// In one sentence, why there is no list. Nothing has changed then.
pub(crate) async fn fetch(order: Order, now: impl Fn() -> u64) -> Result<Fetched> {
    order.copies.prepare().context("the folder of copies")?;
    let known = order.copies.about(&order.name);
    let known = known.filter(|about| about.address == order.address());
    let response = ask(&order, known.as_ref()).await?;
    if response.status() == StatusCode::NOT_MODIFIED
        && let Some(known) = known
    {
        return Ok(Fetched::Same(About {
            fetched: now(),
            ..known
        }));
    }
    let status = response.status();
    ensure!(status.is_success(), "the server answers {status}");
    let about = About {
        address: order.address(),
        etag: mark(response.headers(), &ETAG),
        last_modified: mark(response.headers(), &LAST_MODIFIED),
        fetched: now(),
    };
    let draft = order.copies.draft(&order.name);
    write(response, &draft).await?;
    let copy = order.copies.copy(&order.name);
    // Long lists take a while, and packets' events do not wait.
    let read = tokio::task::spawn_blocking(move || {
        let read = read(&draft, &copy, order.everyone);
        if !matches!(read, Ok(Some(_))) {
            // It is of no use, and may be large.
            let _ = fs::remove_file(&draft);
        }
        read.map(|entries| (entries, draft))
    });
    let (entries, draft) = read.await.context("reading the list")??;
    Ok(match entries {
        None => Fetched::Same(about),
        Some(entries) => Fetched::New {
            about,
            draft,
            entries,
        },
    })
}

async fn ask(order: &Order, known: Option<&About>) -> Result<Response> {
    // Made anew each time: nothing is kept open between two, and new roots of trust are taken.
    let client = Client::builder()
        .user_agent(concat!("guard/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(PATIENCE)
        .read_timeout(PATIENCE)
        .timeout(WHOLE)
        .redirect(Policy::custom(|attempt| match detour(&attempt) {
            Ok(()) => attempt.follow(),
            Err(wrong) => attempt.error(wrong),
        }))
        .build()
        .map_err(plain)?;
    let mut request = client.get(order.url.url().clone());
    let marks = known.map(|known| {
        [
            (IF_NONE_MATCH, known.etag.clone()),
            (IF_MODIFIED_SINCE, known.last_modified.clone()),
        ]
    });
    for (name, mark) in marks.into_iter().flatten() {
        if let Some(mark) = mark {
            request = request.header(name, mark);
        }
    }
    request.send().await.map_err(plain)
}

/// Whether a server may send us there.
fn detour(attempt: &Attempt<'_>) -> Result<(), String> {
    let was_secure = attempt.previous().iter().any(|url| url.scheme() == "https");
    judge_detour(attempt.previous().len(), was_secure, attempt.url())
}

fn judge_detour(so_far: usize, was_secure: bool, to: &Url) -> Result<(), String> {
    if so_far > REDIRECTS {
        return Err(format!("it redirects more than {REDIRECTS} times"));
    }
    if !matches!(to.scheme(), "http" | "https") {
        return Err("it redirects to what is no web address".to_owned());
    }
    if was_secure && to.scheme() != "https" {
        return Err("it redirects from https to http, where anybody may answer".to_owned());
    }
    Ok(())
}

/// What the client says, with its causes but without the address, in which there may be secrets.
fn plain(error: reqwest::Error) -> anyhow::Error {
    let text = format!("{:#}", anyhow!(error.without_url()));
    let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    anyhow!(shown.take(300).collect::<String>())
}

fn mark(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= LONGEST_MARK).then(|| value.to_owned())
}

/// Writes what comes to a file, up to the most that a list may have.
async fn write(mut response: Response, path: &Path) -> Result<()> {
    let too_large = || anyhow!("it is larger than {} MiB", MAX_FEED_BYTES >> 20);
    let announced = response.content_length().unwrap_or(0);
    ensure!(announced <= MAX_FEED_BYTES, too_large());
    let unwritable = || format!("cannot write {}", path.display());
    let mut file = state_file::create(path).with_context(unwritable)?;
    let written = async {
        let mut length = 0;
        while let Some(piece) = response.chunk().await.map_err(plain)? {
            length += piece.len() as u64;
            ensure!(length <= MAX_FEED_BYTES, too_large());
            file.write_all(&piece).with_context(unwritable)?;
        }
        file.sync_all().with_context(unwritable)
    };
    let written = written.await;
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

/// How many entries the list in `draft` has; nothing when it is what `copy` is.
fn read(draft: &Path, copy: &Path, everyone: bool) -> Result<Option<usize>> {
    let bytes = fs::read(draft).with_context(|| format!("cannot read {}", draft.display()))?;
    if is_content(copy, &bytes) {
        return Ok(None);
    }
    match list::parse(&bytes, everyone) {
        Ok(nets) => Ok(Some(nets.len())),
        Err(wrong) => bail!("what came is no list: {}", list::sentence(&wrong)),
    }
}

/// Whether that is what the file holds.
fn is_content(path: &Path, bytes: &[u8]) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let mut there = Vec::new();
    let read = file.take(bytes.len() as u64 + 1).read_to_end(&mut there);
    read.is_ok() && there == bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detours_are_few_and_never_from_https_to_http() {
        let judge = |so_far, was_secure, to: &str| {
            judge_detour(so_far, was_secure, &Url::parse(to).expect("an address"))
        };
        assert_eq!(judge(1, false, "http://a/"), Ok(()));
        assert_eq!(judge(5, true, "https://a/"), Ok(()));
        assert!(judge(6, true, "https://a/").is_err());
        assert!(judge(1, true, "http://a/").is_err());
        assert!(judge(1, false, "file:///etc/passwd").is_err());
    }
}
