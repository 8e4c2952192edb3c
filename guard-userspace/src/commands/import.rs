//! Reads the networks that are to be added from a file.

use std::{
    fs::File,
    io::{self, Read, stdin},
    path::Path,
};

use guard::{config::list, entries::Addition, printable};

/// The largest file, in bytes: more than the agent takes at once.
const MAX_BYTES: u64 = 64 << 20;

/// The networks in `file`, `-` being standard input; or all there is to say against it, a line each.
pub(crate) fn additions(file: &Path) -> Result<Vec<Addition>, String> {
    let (name, text) = if file == Path::new("-") {
        ("standard input".to_owned(), read(stdin().lock()))
    } else {
        let text = File::open(file).and_then(read);
        (file.display().to_string(), text)
    };
    let name = printable::line(&name);
    let text = text.map_err(|error| format!("cannot read {name}: {error}"))?;
    list::additions(&text).map_err(|wrong| {
        let sentences = wrong.into_iter().map(|wrong| {
            let line = wrong.line.map_or(String::new(), |line| format!(":{line}"));
            format!("{name}{line}: {}", wrong.invalid)
        });
        sentences.collect::<Vec<_>>().join("\n")
    })
}

fn read(file: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        let message = format!(
            "it is larger than {} MiB: import it in parts",
            MAX_BYTES >> 20
        );
        return Err(io::Error::other(message));
    }
    Ok(text)
}
