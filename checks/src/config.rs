//! Configuration files.

use guard::config::{Config, ConfigErrors, Style};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// Problems that are told of one file at most.
const PROBLEMS: usize = 200;

/// The file is the input.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    match Config::parse("guard.toml", text) {
        // Of a feed the name is printed, and not what is in it.
        Ok(config) if !config.feeds.is_empty() => {}
        // Of a receiver's address the part is printed that cannot be secret.
        Ok(config) if !config.alerts.is_empty() => {}
        Ok(config) => {
            let written = written(&config);
            let again = Config::parse("written.toml", &written);
            assert_eq!(again.as_ref().ok(), Some(&config), "{written}\n{again:?}");
        }
        Err(errors) => assert_told(text, &errors),
    }
}

/// Each problem is in the file, and all can be shown.
fn assert_told(text: &str, errors: &ConfigErrors) {
    let problems = errors.problems();
    assert!((1..=PROBLEMS).contains(&problems.len()));
    for problem in problems {
        assert!(
            !problem.message.is_empty() && !problem.help.is_empty(),
            "{problem:?}"
        );
        let Some(span) = &problem.span else { continue };
        assert!(
            span.start <= span.end && span.end <= text.len(),
            "{problem:?}"
        );
        let (line, column) = errors.position(problem).expect("it has a span");
        let (lines, columns) = (text.split('\n').count(), text.chars().count());
        assert!((1..=lines).contains(&line) && (1..=columns + 1).contains(&column));
    }
    let shown = errors.render(Style::Plain);
    let is_shown = |letter: char| letter == '\n' || !letter.is_control();
    assert!(shown.chars().all(is_shown), "{shown:?}");
    assert!(!errors.render(Style::Terminal).is_empty());
    assert!(serde_json::to_string(errors).is_ok());
}

/// A file that says what `config` is, made of what `guard check --output json` prints.
fn written(config: &Config) -> String {
    let value = serde_json::to_value(config).expect("a configuration");
    let Some(Value::Object(mut top)) = without_nothing(value) else {
        panic!("a configuration is an object");
    };
    // Flags alone set these, and there are no feeds and no receivers of alerts.
    for flag in ["socket", "state_dir", "bpffs", "feeds", "alerts"] {
        top.remove(flag);
    }
    if let Some(services) = top.remove("services") {
        top.insert("service".to_owned(), services);
    }
    for list in ["allow", "deny"] {
        let entries = top.get_mut(list).and_then(Value::as_array_mut);
        for entry in entries.into_iter().flatten() {
            if let Some(Value::Number(expires)) = entry.get("expires") {
                let seconds = expires.as_i64().expect("a time that was read");
                let time = Timestamp::from_second(seconds).expect("a time that was read");
                entry["expires"] = time.to_string().into();
            }
        }
    }
    toml::to_string(&top).expect("TOML")
}

/// Without keys that say nothing: TOML has no word for that.
fn without_nothing(value: Value) -> Option<Value> {
    Some(match value {
        Value::Null => return None,
        Value::Object(table) => {
            let keys = table.into_iter();
            let told = keys.filter_map(|(key, value)| Some((key, without_nothing(value)?)));
            Value::Object(told.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().filter_map(without_nothing).collect(),
        other => other,
    })
}
