//! Whether the programs are where they should be: looked at once a second, whatever the kernel tells.

use std::{collections::BTreeSet, net::IpAddr};

use tracing::error;

use super::state::Agent;
use crate::interface::{Asker, Interface, InterfaceError};

/// Looks at the interfaces.
#[derive(Default)]
pub(super) struct Lookout {
    asker: Option<Asker>,
    /// The kernel does not answer, and that was said.
    is_blind: bool,
}

impl Lookout {
    /// Looks, and attends to what is there.
    pub(super) async fn look(&mut self, agent: &Agent) {
        match self.try_to_look(agent).await {
            Ok(()) => self.is_blind = false,
            Err(error) => {
                self.asker = None;
                if !self.is_blind {
                    error!(%error, "whether the interfaces are protected cannot be told");
                    self.is_blind = true;
                }
            }
        }
    }

    async fn try_to_look(&mut self, agent: &Agent) -> Result<(), InterfaceError> {
        let asker = match &mut self.asker {
            Some(asker) => asker,
            none => none.insert(Asker::new()?),
        };
        let program_id = agent.program_id();
        let found = asker.find(&agent.interface_names()).await?;
        agent.attend(&found, program_id);
        let own = own_addresses(asker, &found).await?;
        if agent.protects_others_than(&own) {
            // An interface that has gone since then has taken its addresses along.
            let found = asker.find(&agent.interface_names()).await?;
            agent.attend(&found, program_id);
            agent.protect_own(own);
        }
        Ok(())
    }
}

/// The addresses that nobody else has. On a loopback everybody has them.
pub(super) async fn own_addresses(
    asker: &Asker,
    found: &[Interface],
) -> Result<BTreeSet<IpAddr>, InterfaceError> {
    if has_loopback(found) {
        return Ok(BTreeSet::new());
    }
    asker.own_addresses().await
}

pub(super) fn has_loopback(found: &[Interface]) -> bool {
    found.iter().any(|interface| interface.loopback)
}
