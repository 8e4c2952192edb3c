use std::{fs, path::PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{
    super::{
        message::Alert,
        rule::{Rule, Severity},
    },
    *,
};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join(FILE)
}

fn message(id: impl std::fmt::Display) -> Message {
    Message {
        id: id.to_string(),
        rule: Rule::Ban,
        made_ms: 1,
        keeps_alive: false,
        alerts: vec![Alert {
            severity: Severity::Info,
            labels: [("iface".to_owned(), "eth0".to_owned())].into(),
            summary: "with \"quotes\",\nlines and é".to_owned(),
            description: String::new(),
            action: String::new(),
            sources: Vec::new(),
            started_ms: 1,
            ended_ms: None,
        }],
    }
}

fn to(receivers: &[&str]) -> BTreeSet<ReceiverId> {
    receivers.iter().map(|&id| id.to_owned()).collect()
}

/// The messages that wait for a receiver, in order, taken out.
fn drain(queue: &mut Queue, receiver: &str) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some((number, message)) = queue.next(receiver) {
        ids.push(message.id);
        queue.done(number, receiver);
    }
    ids
}

#[test]
fn each_receiver_gets_each_message_once_in_order_also_after_a_restart() {
    let folder = folder();
    let mut queue = Queue::load(folder.path());
    for id in 0..6 {
        queue.push(to(&["a", "b"]), message(id));
    }
    queue.push(to(&["b"]), message(6));
    queue.push(to(&[]), message("nobody's"));
    for id in ["0", "1"] {
        let (number, next) = queue.next("a").expect("a message");
        assert_eq!(next, message(id));
        queue.done(number, "a");
    }
    assert_eq!(
        (queue.len(), queue.waiting("a"), queue.waiting("b")),
        (7, 4, 7)
    );
    // Killed: nothing is done when it ends.
    drop(queue);
    let mut queue = Queue::load(folder.path());
    assert_eq!(
        (queue.len(), queue.waiting("a"), queue.waiting("b")),
        (7, 4, 7)
    );
    queue.push(to(&["a"]), message(7));
    assert_eq!(drain(&mut queue, "a"), ["2", "3", "4", "5", "7"]);
    let mut queue = Queue::load(folder.path());
    assert_eq!(drain(&mut queue, "a"), Vec::<String>::new());
    assert_eq!(drain(&mut queue, "b"), ["0", "1", "2", "3", "4", "5", "6"]);
    assert_eq!(Queue::load(folder.path()).len(), 0);
}

#[test]
fn the_oldest_makes_room_and_is_counted() {
    let folder = folder();
    let mut queue = Queue::load(folder.path());
    for id in 0..CAPACITY + 5 {
        queue.push(to(&["a"]), message(id));
    }
    assert_eq!(queue.len(), CAPACITY as u64);
    assert_eq!(queue.dropped().full, 5);
    assert_eq!(queue.next("a").expect("a message").1.id, "5");
    let queue = Queue::load(folder.path());
    assert_eq!(queue.len(), CAPACITY as u64);
    assert_eq!(queue.next("a").expect("a message").1.id, "5");
}

#[test]
fn few_large_messages_fill_it_too_and_the_file_stays_small() {
    let folder = folder();
    let mut queue = Queue::load(folder.path());
    let mut large = message("large");
    large.alerts[0].description = "x".repeat(CAPACITY_BYTES / 10);
    for _ in 0..40 {
        queue.push(to(&["a"]), large.clone());
    }
    assert_eq!(queue.len(), 9);
    assert_eq!(queue.dropped().full, 31);
    let length = fs::metadata(file(&folder)).expect("the file").len();
    assert!(length < 3 * CAPACITY_BYTES as u64, "{length}");
    drain(&mut queue, "a");
    for _ in 0..100 {
        queue.push(to(&["a"]), message("small"));
        drain(&mut queue, "a");
    }
    let length = fs::metadata(file(&folder)).expect("the file").len();
    assert!(length < CAPACITY_BYTES as u64, "written anew: {length}");
}

#[test]
fn a_line_that_was_not_written_to_its_end_is_left_out() {
    let folder = folder();
    let mut queue = Queue::load(folder.path());
    queue.push(to(&["a"]), message(0));
    queue.push(to(&["a"]), message(1));
    let text = fs::read(file(&folder)).expect("the file");
    for cut in 1..text.len() {
        fs::write(file(&folder), &text[..cut]).expect("written");
        let mut queue = Queue::load(folder.path());
        let whole = String::from_utf8_lossy(&text[..cut]).matches('\n').count();
        assert_eq!(queue.len(), whole as u64);
        // What comes next does not become a part of it.
        queue.push(to(&["a"]), message(2));
        let mut queue = Queue::load(folder.path());
        assert_eq!(drain(&mut queue, "a").last().map(String::as_str), Some("2"));
    }
    assert!(!folder.path().join(format!("{FILE}.broken")).exists());
}

#[test]
fn what_is_not_what_guard_wrote_is_moved_aside_and_the_rest_is_kept() {
    for wrong in [
        &b"not json\n"[..],
        b"{}\n",
        b"{\"add\":{\"number\":1}}\n",
        b"\xff\xfe\0\n",
        b"<!doctype html>\n<html>\n",
    ] {
        let folder = folder();
        let mut queue = Queue::load(folder.path());
        queue.push(to(&["a"]), message(0));
        let mut bytes = fs::read(file(&folder)).expect("the file");
        bytes.extend_from_slice(wrong);
        fs::write(file(&folder), &bytes).expect("written");
        let mut queue = Queue::load(folder.path());
        let aside = folder.path().join(format!("{FILE}.broken"));
        assert_eq!(fs::read(aside).expect("moved aside"), bytes);
        queue.push(to(&["a"]), message(1));
        let mut queue = Queue::load(folder.path());
        assert_eq!(drain(&mut queue, "a"), ["0", "1"], "{wrong:?}");
    }
}

#[test]
fn what_is_no_file_is_moved_aside() {
    for make in [
        (|path: &Path| fs::create_dir(path)) as fn(&Path) -> std::io::Result<()>,
        |path| std::os::unix::fs::symlink("/dev/zero", path),
        |path| {
            let mode = nix::sys::stat::Mode::S_IRWXU;
            nix::unistd::mkfifo(path, mode).map_err(std::io::Error::from)
        },
    ] {
        let folder = folder();
        make(&file(&folder)).expect("something in the way");
        let mut queue = Queue::load(folder.path());
        queue.push(to(&["a"]), message(0));
        assert!(queue.is_written());
        assert_eq!(Queue::load(folder.path()).len(), 1);
    }
}

#[test]
fn without_a_disk_it_goes_on_in_memory_and_is_written_when_it_can_be() {
    let folder = folder();
    let place = folder.path().join("state");
    let mut queue = Queue::load(&place);
    for id in 0..CAPACITY + 5 {
        queue.push(to(&["a"]), message(id));
    }
    assert!(!queue.is_written());
    assert_eq!(queue.len(), CAPACITY as u64, "bounded");
    let (number, _) = queue.next("a").expect("a message");
    queue.done(number, "a");
    fs::create_dir(&place).expect("a folder");
    queue.mend();
    assert!(queue.is_written());
    let mut queue = Queue::load(&place);
    let left = drain(&mut queue, "a");
    assert_eq!(left.len(), CAPACITY - 1);
    assert_eq!(left[0], "6");
}

#[test]
fn what_waits_for_a_receiver_that_is_replaced_goes_to_the_new_one() {
    let folder = folder();
    let mut queue = Queue::load(folder.path());
    queue.push(to(&["a", "b"]), message(0));
    queue.push(to(&["a"]), message(1));
    queue.serve(&to(&["a", "b"]), &to(&["b", "c"]));
    assert_eq!(
        (queue.waiting("b"), queue.waiting("c"), queue.waiting("a")),
        (1, 2, 0)
    );
    let mut queue = Queue::load(folder.path());
    assert_eq!(drain(&mut queue, "c"), ["0", "1"]);
    // Nobody is new: what waited for those who are gone is dropped, and counted.
    queue.push(to(&["c"]), message(2));
    queue.serve(&to(&["b", "c"]), &to(&["b"]));
    assert_eq!(drain(&mut queue, "b"), ["0"]);
    assert_eq!((queue.len(), queue.dropped().unclaimed), (0, 1));
    assert_eq!(Queue::load(folder.path()).len(), 0);
}

#[test]
fn what_is_refused_is_counted_and_gone() {
    let folder = folder();
    let mut queue = Queue::load(folder.path());
    queue.push(to(&["a"]), message(0));
    let (number, _) = queue.next("a").expect("a message");
    queue.refused(number, "a");
    assert_eq!((queue.len(), queue.dropped().refused), (0, 1));
}

/// What may be done with a queue.
#[derive(Clone, Debug)]
enum Act {
    Push(BTreeSet<ReceiverId>),
    Take(&'static str),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let receiver = || prop::sample::select(vec!["a", "b", "c"]);
    prop_oneof![
        3 => prop::collection::btree_set(receiver().prop_map(str::to_owned), 0..=3).prop_map(Act::Push),
        3 => receiver().prop_map(Act::Take),
        1 => Just(Act::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// A list for each receiver, whenever the agent is killed.
    #[test]
    fn it_does_what_a_list_for_each_receiver_does(acts in prop::collection::vec(act(), 0..60)) {
        let folder = folder();
        let mut queue = Queue::load(folder.path());
        let mut model: Vec<(String, BTreeSet<ReceiverId>)> = Vec::new();
        for (number, act) in acts.into_iter().enumerate() {
            match act {
                Act::Push(receivers) => {
                    queue.push(receivers.clone(), message(number));
                    model.push((number.to_string(), receivers));
                }
                Act::Take(receiver) => {
                    let expected = model.iter_mut().find(|(_, to)| to.contains(receiver));
                    let taken = queue.next(receiver);
                    prop_assert_eq!(
                        taken.as_ref().map(|(_, message)| &message.id),
                        expected.as_ref().map(|(id, _)| id)
                    );
                    if let (Some((number, _)), Some((_, to))) = (taken, expected) {
                        queue.done(number, receiver);
                        to.remove(receiver);
                    }
                }
                Act::Restart => queue = Queue::load(folder.path()),
            }
            model.retain(|(_, to)| !to.is_empty());
            prop_assert_eq!(queue.len(), model.len() as u64);
        }
    }

    #[test]
    fn no_file_ends_the_agent(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let folder = folder();
        fs::write(file(&folder), &bytes).expect("written");
        let mut queue = Queue::load(folder.path());
        queue.push(to(&["a"]), message("after"));
        let mut queue = Queue::load(folder.path());
        prop_assert_eq!(drain(&mut queue, "a"), ["after"]);
    }
}
