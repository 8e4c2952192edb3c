//! Completions and manual pages.

use std::{fs, process::Command};

use anyhow::Result;

use crate::{end_of, guard};

/// Commands, and a flag of each.
const COMMANDS: [(&str, &str); 5] = [
    ("run", "--socket-group"),
    ("deny", "import"),
    ("explain", "--port"),
    ("events", "--follow"),
    ("man", "--all"),
];

#[test]
fn completions_and_pages_have_every_command() -> Result<()> {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let completions = guard(&["completions", shell])?;
        assert_eq!(
            (completions.code, &*completions.stderr),
            (Some(0), ""),
            "{shell}"
        );
        for (command, flag) in COMMANDS {
            let text = &completions.stdout;
            let flag = flag.trim_start_matches('-');
            assert!(
                text.contains(command) && text.contains(flag),
                "{shell}: {command} {flag}"
            );
        }
    }
    let page = guard(&["man"])?;
    assert_eq!((page.code, &*page.stderr), (Some(0), ""));
    assert!(page.stdout.contains(".TH guard 1"), "{}", page.stdout);
    for (command, _) in COMMANDS {
        assert!(
            page.stdout.contains(&format!("guard\\-{command}(1)")),
            "{command}"
        );
    }
    let folder = tempfile::tempdir()?;
    let all = guard(&["man", "--all", &folder.path().to_string_lossy()])?;
    assert_eq!((all.code, &*all.stderr), (Some(0), ""));
    for name in [
        "guard.1",
        "guard-run.1",
        "guard-deny-import.1",
        "guard-man.1",
    ] {
        assert!(folder.path().join(name).is_file(), "{name}");
    }
    let run = fs::read_to_string(folder.path().join("guard-run.1"))?;
    assert!(run.contains("GUARD_SOCKET_GROUP"), "its environment too");
    assert!(!run.contains("Never"), "{run}");
    Ok(())
}

#[test]
fn bash_takes_the_completions() -> Result<()> {
    let completions = guard(&["completions", "bash"])?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("guard.bash");
    fs::write(&file, completions.stdout)?;
    let script = "source \"$0\"; COMP_WORDS=(guard deny im); COMP_CWORD=2; \
                  _guard guard im deny; echo \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).arg(&file);
    let ended = end_of(&mut bash)?;
    assert_eq!(
        (ended.code, &*ended.stdout),
        (Some(0), "import\n"),
        "{}",
        ended.stderr
    );
    Ok(())
}

#[test]
fn a_shell_or_a_folder_that_is_not_there_is_named() -> Result<()> {
    let shell = guard(&["completions", "csh"])?;
    assert_eq!(shell.code, Some(2));
    assert!(
        shell.stderr.contains("csh") && shell.stderr.contains("bash"),
        "{}",
        shell.stderr
    );
    let folder = guard(&["man", "--all", "/nonexistent"])?;
    assert_eq!(folder.code, Some(1));
    assert!(folder.stderr.contains("/nonexistent"), "{}", folder.stderr);
    assert_eq!(folder.stderr.lines().count(), 1);
    Ok(())
}
