//! The daemon dies at a random moment, again and again: what was acknowledged is there, and no commit is there in part.
//!
//! The child is this very test binary, started with the directory in its environment. It commits in a loop from several threads, says on its
//! standard output what was acknowledged, and is killed with SIGKILL. That shows that nothing depends on the process's end; it
//! does not show that the disk keeps what it was told to sync.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use store::{Row, Store, TableDef};
use types::{Scope, Timestamp};

const DIRECTORY: &str = "STORE_CRASH_DIRECTORY";
const WRITERS: u64 = 8;
const CRASHES: usize = 12;

/// Each commit writes the same number to both rows of its writer.
#[derive(Debug, Serialize, Deserialize)]
struct Half {
    id: String,
    number: u64,
}

impl Row for Half {
    const TABLE: &'static str = "half";

    fn id(&self) -> Cow<'_, str> {
        (&self.id).into()
    }
}

fn open(directory: &Path) -> Store {
    Store::open(directory, vec![TableDef::of::<Half>()]).expect("opens after a crash")
}

fn number(store: &Store, side: &str, writer: u64) -> u64 {
    store.view().get::<Half>(&Scope::default(), &format!("{side}{writer}")).map_or(0, |half| half.number)
}

/// Not a test of its own: the child's life, when started by the other one.
#[test]
fn child_commits_until_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let store = open(&directory);
    let streams = store.streams().expect("opens");
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, streams) = (&store, &streams);
            scope.spawn(move || {
                for number in number(store, "left", writer) + 1.. {
                    let mut tx = store.begin();
                    for side in ["left", "right"] {
                        tx.put(&Scope::default(), Half { id: format!("{side}{writer}"), number });
                    }
                    tx.commit().wait_blocking().expect("commits");
                    let record = vec![(Timestamp(0), number.to_le_bytes().to_vec())];
                    let appended = streams.append(&writer.to_string(), record).wait_blocking().expect("appends");
                    // One write of one short line, so that lines stay whole.
                    let said =
                        std::io::stdout().write_all(format!("\nacked {writer} {number} {appended}\n").as_bytes());
                    said.expect("the parent listens");
                }
            });
        }
    });
}

#[test]
fn what_was_acknowledged_outlives_kill_9_and_nothing_is_there_by_half() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut acked = [0; WRITERS as usize];
    let mut appended = [0; WRITERS as usize];
    for crash in 0..CRASHES {
        let child = Killed(start(directory.path()).into());
        let mut lines = 0;
        // Killed after a differing number of acknowledgements rather than after a time.
        for line in child.lines() {
            let mut words = line.split(' ').skip_while(|word| *word != "acked").skip(1);
            let mut word = || words.next().and_then(|word| word.parse::<u64>().ok());
            let (Some(writer), Some(number), Some(count)) = (word(), word(), word()) else { continue };
            acked[writer as usize] = number;
            appended[writer as usize] = count;
            lines += 1;
            if lines == 20 + crash * 7 {
                child.kill();
            }
        }
        assert!(lines >= 20, "the child ended by itself after {lines} commits");
        drop(child);
        let store = open(directory.path());
        let streams = store.streams().expect("opens");
        for writer in 0..WRITERS {
            let (left, right) = (number(&store, "left", writer), number(&store, "right", writer));
            assert_eq!(left, right, "crash {crash}: a commit of writer {writer} is there by half");
            let told = acked[writer as usize];
            assert!(left >= told, "crash {crash}: writer {writer} was told that {told} is durable; {left} is there");
            let stats = streams.stats(&writer.to_string()).expect("reads").expect("exists");
            assert!(stats.appended >= appended[writer as usize], "crash {crash}: acknowledged records are gone");
        }
        let sequence = store.view().sequence();
        let newest = store.changes_since(sequence - 1).expect("in the window");
        assert_eq!(newest.last().map(|commit| commit.sequence), Some(sequence), "the feed and the rows disagree");
    }
}

#[test]
fn a_copy_of_the_directory_is_a_backup() {
    let (here, there) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let store = open(here.path());
    let mut tx = store.begin();
    tx.put(&Scope::default(), Half { id: "left0".to_owned(), number: 7 });
    tx.commit().wait_blocking().expect("commits");
    drop(store);
    for file in std::fs::read_dir(here.path()).expect("lists") {
        let file = file.expect("lists");
        std::fs::copy(file.path(), there.path().join(file.file_name())).expect("copies");
    }
    assert_eq!(number(&open(there.path()), "left", 0), 7);
}

#[expect(clippy::disallowed_methods, reason = "a crash needs a process of its own")]
fn start(directory: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--exact", "child_commits_until_killed", "--nocapture"]).env(DIRECTORY, directory);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts")
}

/// A child that does not outlive the test.
struct Killed(std::sync::Mutex<Child>);

impl Killed {
    fn lines(&self) -> impl Iterator<Item = String> + use<> {
        let output = self.0.lock().expect("lock").stdout.take().expect("piped");
        BufReader::new(output).lines().map_while(Result::ok)
    }

    fn kill(&self) {
        self.0.lock().expect("lock").kill().expect("kills");
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let mut child = self.0.lock().expect("lock");
        let _ = child.kill();
        let _ = child.wait();
    }
}
