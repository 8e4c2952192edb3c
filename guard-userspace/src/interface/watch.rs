//! Follows interfaces that come and go.

use std::collections::HashMap;

use futures_util::{StreamExt as _, stream::BoxStream};
use rtnetlink::{
    MulticastGroup, new_multicast_connection,
    packet_core::NetlinkPayload,
    packet_route::{AddressFamily, RouteNetlinkMessage, link::LinkMessage},
};
use tokio::{sync::mpsc, task::JoinSet};
use tracing::warn;

use super::{InterfaceError, links, name};

/// Changes that wait for their reader; behind them the kernel's messages wait.
const WAITING: usize = 64;

/// What became of a watched interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was deleted, renamed, or moved to another namespace.
    Gone {
        /// What its index was.
        index: u32,
    },
    /// There is an interface of a watched name, which there was not before. After a
    /// [`Change::Gone`], this may be the same hardware or another.
    Appeared {
        /// Its index.
        index: u32,
        /// Its name.
        name: String,
    },
}

/// Watches interfaces by their names. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    changes: mpsc::Receiver<Change>,
    _follower: JoinSet<()>,
}

impl Watch {
    /// Starts to watch what has one of these `names`, or will have. What is there already is no
    /// change.
    ///
    /// # Errors
    /// The kernel cannot be asked.
    pub async fn new(names: &[String]) -> Result<Self, InterfaceError> {
        let mut known = Known::new(names);
        let (subscription, links) = Subscription::start().await?;
        known.compare(&links);
        let (sender, changes) = mpsc::channel(WAITING);
        let mut follower = JoinSet::new();
        follower.spawn(async move {
            if let Err(error) = follow(known, subscription, sender).await {
                warn!(%error, "interfaces are no longer watched");
            }
        });
        Ok(Self {
            changes,
            _follower: follower,
        })
    }

    /// Waits for the next change. A call that is dropped while it waits loses none.
    ///
    /// # Errors
    /// [`InterfaceError::Closed`], now and ever after: there will be no more changes.
    pub async fn next(&mut self) -> Result<Change, InterfaceError> {
        self.changes.recv().await.ok_or(InterfaceError::Closed)
    }
}

/// Passes on changes until the socket closes, the kernel does not answer or nobody reads.
async fn follow(
    mut known: Known,
    mut subscription: Subscription,
    changes: mpsc::Sender<Change>,
) -> Result<(), InterfaceError> {
    loop {
        let news = match subscription.next().await? {
            // The kernel had more to tell than the socket could hold. It says so ahead of what
            // the socket does hold, which is old by now: a new one starts from a list.
            NetlinkPayload::Overrun(_) => {
                let (new, links) = Subscription::start().await?;
                subscription = new;
                known.compare(&links)
            }
            NetlinkPayload::InnerMessage(message) => known.apply(&message),
            _ => continue,
        };
        for change in news {
            if changes.send(change).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// A socket on which the kernel tells of interfaces.
struct Subscription {
    messages: BoxStream<'static, NetlinkPayload<RouteNetlinkMessage>>,
    _connection: JoinSet<()>,
}

impl Subscription {
    /// Subscribes, and lists what there is then, so that no change falls between the two.
    async fn start() -> Result<(Self, Vec<LinkMessage>), InterfaceError> {
        let (connection, handle, messages) =
            new_multicast_connection(&[MulticastGroup::Link]).map_err(InterfaceError::Socket)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(connection);
        let links = links(&handle).await?;
        let messages = messages.map(|(message, _)| message.payload).boxed();
        Ok((
            Self {
                messages,
                _connection: tasks,
            },
            links,
        ))
    }

    async fn next(&mut self) -> Result<NetlinkPayload<RouteNetlinkMessage>, InterfaceError> {
        self.messages.next().await.ok_or(InterfaceError::Closed)
    }
}

/// The watched names, and the index of each that is there.
#[derive(Debug)]
pub(super) struct Known(HashMap<String, Option<u32>>);

impl Known {
    pub(super) fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| (name.clone(), None)).collect())
    }

    /// Takes a message of the kernel, and says what it changes.
    pub(super) fn apply(&mut self, message: &RouteNetlinkMessage) -> Vec<Change> {
        match message {
            // A bridge tells of its ports under its own family: one that leaves it is not gone.
            RouteNetlinkMessage::NewLink(link) if is_own_message(link) => self.update(link),
            RouteNetlinkMessage::DelLink(link) if is_own_message(link) => {
                self.remove(link.header.index, None)
            }
            _ => Vec::new(),
        }
    }

    /// Takes the list of all interfaces, and says what it changes.
    pub(super) fn compare(&mut self, links: &[LinkMessage]) -> Vec<Change> {
        let is_there = |name: &str, index: u32| {
            links
                .iter()
                .any(|link| link.header.index == index && super::name(link) == Some(name))
        };
        let gone: Vec<u32> = self
            .0
            .iter()
            .filter_map(|(name, index)| index.filter(|index| !is_there(name, *index)))
            .collect();
        let mut changes: Vec<Change> = gone
            .into_iter()
            .flat_map(|index| self.remove(index, None))
            .collect();
        changes.extend(links.iter().flat_map(|link| self.update(link)));
        changes
    }

    fn update(&mut self, link: &LinkMessage) -> Vec<Change> {
        let (Some(name), index) = (name(link), link.header.index) else {
            return Vec::new();
        };
        // It may have had another name before.
        let mut changes = self.remove(index, Some(name));
        if let Some(known) = self.0.get_mut(name) {
            let old = known.replace(index);
            if old != Some(index) {
                changes.extend(old.map(|index| Change::Gone { index }));
                changes.push(Change::Appeared {
                    index,
                    name: name.to_owned(),
                });
            }
        }
        changes
    }

    /// Forgets the interface with this index, unless its name is `kept`.
    fn remove(&mut self, index: u32, kept: Option<&str>) -> Vec<Change> {
        let mut entries = self.0.iter_mut();
        let entry = entries.find(|(name, known)| {
            **known == Some(index) && kept.is_none_or(|kept| kept != name.as_str())
        });
        entry
            .and_then(|(_, known)| known.take())
            .map(|index| Change::Gone { index })
            .into_iter()
            .collect()
    }
}

fn is_own_message(link: &LinkMessage) -> bool {
    link.header.interface_family == AddressFamily::Unspec
}
