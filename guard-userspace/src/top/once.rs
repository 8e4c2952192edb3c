//! One picture as text, for scripts.

use std::fmt::Write as _;

use tokio::time::sleep;

use super::{
    panes::{PANES, panes},
    picture::Picture,
    snapshot::Snapshot,
};
use crate::{cli::TopFlags, client::ClientError};

/// Columns of the text.
const WIDTH: usize = 120;
/// Rows of a part at most: the rest is for `--output json`.
const ROWS: usize = 20;

/// What two looks at the agent show, an interval apart.
pub async fn once(flags: &TopFlags) -> Result<Picture, ClientError> {
    let old = Snapshot::take(&flags.agent.socket).await?;
    sleep(flags.interval).await;
    let new = Snapshot::take(&flags.agent.socket).await?;
    Ok(Picture::between(Some(&old), &new))
}

/// For people and for `grep`: the panes of the live view, one below the other.
#[must_use]
pub fn render(picture: &Picture) -> String {
    let mut text = picture.title() + "\n";
    for warning in &picture.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    let panes: [_; PANES] = panes(picture, WIDTH);
    for pane in panes {
        let _ = writeln!(text, "\n{}", pane.head.trim_end());
        if pane.rows.is_empty() {
            let _ = writeln!(text, "{}", pane.empty);
        }
        for row in pane.rows.iter().take(ROWS) {
            let _ = writeln!(text, "{}", row.text);
        }
        if pane.rows.len() > ROWS {
            let _ = writeln!(text, "({} more)", pane.rows.len() - ROWS);
        }
    }
    text
}
