//! Rows of what may happen to a plugin directory, each once with the file system's events and once with ticks alone.
//! Compiling is a fake that takes the text of a file's only section for its result.

use super::*;
use crate::problem::Code;
use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{Condvar, Mutex},
};

/// Long after everything that may happen has happened.
const PATIENCE: Duration = Duration::from_secs(20);

/// With ticks alone the clock is paused: it runs ahead whenever nothing but time is missing.
macro_rules! rows {
    ($($row:ident)*) => {
        mod with_events {
            $(#[tokio::test] async fn $row() { super::$row(true).await })*
        }
        mod with_ticks_alone {
            $(#[tokio::test(start_paused = true)] async fn $row() { super::$row(false).await })*
        }
    };
}

rows! {
    a_renamed_file_is_compiled
    a_copy_under_way_is_waited_for
    a_copy_that_died_is_warned_of
    what_is_not_webassembly_is_refused_at_once
    what_the_compiler_refuses_is_told_with_its_hash
    what_cannot_be_read_is_refused
    the_same_bytes_are_no_news
    a_refused_file_put_right_is_compiled_again
    a_deleted_file_is_told_once
    a_file_deleted_and_written_again_at_once_was_never_gone
    a_directory_made_again_with_the_same_files_is_no_news
    a_directory_made_again_with_other_files_is_news
    a_directory_that_comes_late_is_watched
    a_replaced_directory_is_told
    a_link_swap_as_kubernetes_does_it_is_news
    of_two_files_in_quick_succession_the_last_serves
}

async fn a_renamed_file_is_compiled(notify: bool) {
    let mut stage = Stage::new(notify);
    stage.put("a", &component("one"));
    assert_eq!(stage.next().await, "compiled a one");
    stage.put("a", &component("two"));
    assert_eq!(stage.next().await, "compiled a two");
}

async fn a_copy_under_way_is_waited_for(notify: bool) {
    let mut stage = Stage::new(notify);
    let whole = component("one");
    fs::write(stage.file("a"), &whole[..10]).unwrap();
    assert_eq!(stage.next().await, "waiting a PM0311");
    fs::write(stage.file("a"), &whole).unwrap();
    assert_eq!(stage.next().await, "compiled a one");
}

async fn a_copy_that_died_is_warned_of(notify: bool) {
    if notify {
        return; // Half a minute of waiting is for the paused clock.
    }
    let mut stage = Stage::new(notify);
    fs::write(stage.file("a"), &component("one")[..10]).unwrap();
    assert_eq!(stage.next().await, "waiting a PM0311");
    let stuck = tokio::time::timeout(2 * PATIENCE, stage.news.recv()).await.unwrap().unwrap();
    assert_eq!(said(&stuck), "waiting a PM0312");
    stage.put("a", &component("two"));
    assert_eq!(stage.next().await, "compiled a two");
}

async fn what_is_not_webassembly_is_refused_at_once(notify: bool) {
    let mut stage = Stage::new(notify);
    stage.put("a", &[b'x'; 100_000]);
    assert_eq!(stage.next().await, "refused a PM0301");
}

async fn what_the_compiler_refuses_is_told_with_its_hash(notify: bool) {
    let mut stage = Stage::new(notify);
    stage.put("a", &component("refuse"));
    let news = tokio::time::timeout(PATIENCE, stage.news.recv()).await.unwrap().unwrap();
    assert_eq!(said(&news), "refused a PM0303");
    assert!(matches!(news, News::Refused { hash, .. } if hash == Some(Hash::of(&component("refuse")))));
}

async fn what_cannot_be_read_is_refused(notify: bool) {
    let mut stage = Stage::new(notify);
    fs::create_dir(stage.file("folder")).unwrap();
    assert_eq!(stage.next().await, "refused folder PM0308");
    stage.put("large", &vec![0; SIZE_MOST as usize + 1]);
    assert_eq!(stage.next().await, "refused large PM0308");
    stage.put("Bad_Name", &component("one"));
    assert_eq!(stage.next().await, "refused Bad_Name PM0308");
}

async fn the_same_bytes_are_no_news(notify: bool) {
    let mut stage = Stage::new(notify);
    stage.put("a", &component("one"));
    assert_eq!(stage.next().await, "compiled a one");
    stage.put("a", &component("one"));
    stage.nothing_more().await;
}

async fn a_refused_file_put_right_is_compiled_again(notify: bool) {
    let mut stage = Stage::new(notify);
    stage.put("a", &component("one"));
    assert_eq!(stage.next().await, "compiled a one");
    stage.put("a", &component("refuse"));
    assert_eq!(stage.next().await, "refused a PM0303");
    stage.put("a", &component("one"));
    assert_eq!(stage.next().await, "compiled a one");
}

async fn a_deleted_file_is_told_once(notify: bool) {
    let mut stage = Stage::new(notify);
    stage.put("a", &component("one"));
    assert_eq!(stage.next().await, "compiled a one");
    fs::remove_file(stage.file("a")).unwrap();
    assert_eq!(stage.next().await, "removed a");
    stage.nothing_more().await;
    stage.put("a", &component("one"));
    assert_eq!(stage.next().await, "compiled a one");
}

async fn a_file_deleted_and_written_again_at_once_was_never_gone(notify: bool) {
    let mut stage = Stage::new(notify);
    stage.put("a", &component("one"));
    assert_eq!(stage.next().await, "compiled a one");
    fs::remove_file(stage.file("a")).unwrap();
    stage.put("a", &component("two"));
    assert_eq!(stage.next().await, "compiled a two");
}

async fn a_directory_made_again_with_the_same_files_is_no_news(notify: bool) {
    let mut stage = Stage::new(notify);
    stage.put("a", &component("one"));
    assert_eq!(stage.next().await, "compiled a one");
    fs::remove_dir_all(&stage.directory).unwrap();
    assert_eq!(stage.next().await, "trouble PM0313 cannot be read");

    let aside = stage.home.path().join("aside");
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join("a.wasm"), component("one")).unwrap();
    fs::rename(aside, &stage.directory).unwrap();
    assert_eq!(stage.next().await, "trouble PM0313 is back");
    stage.nothing_more().await;
}

async fn a_directory_made_again_with_other_files_is_news(notify: bool) {
    let mut stage = Stage::new(notify);
    stage.put("a", &component("one"));
    assert_eq!(stage.next().await, "compiled a one");
    stage.put("b", &component("one"));
    assert_eq!(stage.next().await, "compiled b one");
    fs::remove_dir_all(&stage.directory).unwrap();
    assert_eq!(stage.next().await, "trouble PM0313 cannot be read");

    let aside = stage.home.path().join("aside");
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join("a.wasm"), component("two")).unwrap();
    fs::rename(aside, &stage.directory).unwrap();
    assert_eq!(stage.next().await, "trouble PM0313 is back");
    let mut last = [stage.next().await, stage.next().await];
    last.sort();
    assert_eq!(last, ["compiled a two", "removed b"]);
}

async fn a_directory_that_comes_late_is_watched(notify: bool) {
    let mut stage = Stage::with(notify, |directory| fs::remove_dir(directory).unwrap());
    assert_eq!(stage.next().await, "trouble PM0313 cannot be read");
    fs::create_dir(&stage.directory).unwrap();
    assert_eq!(stage.next().await, "trouble PM0313 is back");
    stage.put("a", &component("one"));
    assert_eq!(stage.next().await, "compiled a one");
}

async fn a_replaced_directory_is_told(notify: bool) {
    let mut stage = Stage::new(notify);
    stage.put("a", &component("one"));
    assert_eq!(stage.next().await, "compiled a one");
    let aside = stage.home.path().join("aside");
    fs::create_dir(&aside).unwrap();
    fs::write(aside.join("a.wasm"), component("one")).unwrap();
    rustix::fs::renameat_with(
        rustix::fs::CWD,
        &aside,
        rustix::fs::CWD,
        &stage.directory,
        rustix::fs::RenameFlags::EXCHANGE,
    )
    .unwrap();
    assert_eq!(stage.next().await, "trouble PM0313 was replaced");
    stage.put("a", &component("two"));
    assert_eq!(stage.next().await, "compiled a two");
}

async fn a_link_swap_as_kubernetes_does_it_is_news(notify: bool) {
    let version = |directory: &Path, version: &str, bytes: &[u8]| {
        fs::create_dir(directory.join(version)).unwrap();
        fs::write(directory.join(version).join("a.wasm"), bytes).unwrap();
        symlink(version, directory.join("..data_tmp")).unwrap();
        fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
    };
    let mut stage = Stage::new(notify);
    symlink("..data/a.wasm", stage.file("a")).unwrap();
    version(&stage.directory, "..1", &component("one"));
    assert_eq!(stage.next().await, "compiled a one");
    version(&stage.directory, "..2", &component("two"));
    assert_eq!(stage.next().await, "compiled a two");
    version(&stage.directory, "..3", &component("two"));
    fs::remove_dir_all(stage.directory.join("..1")).unwrap();
    stage.nothing_more().await;
}

async fn of_two_files_in_quick_succession_the_last_serves(notify: bool) {
    let mut stage = Stage::new(notify);
    stage.put("a", &component("one"));
    stage.put("a", &component("two"));
    assert_eq!(stage.next().await, "compiled a two");
    stage.nothing_more().await;
}

// Two threads, since the test itself waits at the gate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_compiled_for_an_older_file_is_dropped() {
    let mut stage = Stage::new(true);
    stage.put("a", &component("held"));
    stage.gate.wait_for_arrival();
    stage.put("a", &component("two"));
    // Others are compiled meanwhile, and by then the second file of `a` was seen.
    stage.put("b", &component("one"));
    assert_eq!(stage.next().await, "compiled b one");
    stage.gate.open();
    assert_eq!(stage.next().await, "compiled a two");
    stage.nothing_more().await;
}

#[tokio::test]
async fn the_file_that_brings_the_compiler_down_is_refused() {
    let mut stage = Stage::new(true);
    stage.put("a", &component("crash"));
    assert_eq!(stage.next().await, "refused a PM0301");
    stage.put("a", &component("one"));
    assert_eq!(stage.next().await, "compiled a one");
}

#[tokio::test(start_paused = true)]
async fn a_look_that_is_asked_for_is_taken_before_the_tick() {
    let mut stage = Stage::new(false);
    stage.put("a", &component("one"));
    assert_eq!(stage.next().await, "compiled a one");
    let start = Instant::now();
    stage.put("a", &component("two"));
    stage.rescan.notify_one();
    assert_eq!(stage.next().await, "compiled a two");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn at_start_the_oldest_file_comes_first_and_nobody_waits() {
    let home = tempfile::tempdir().unwrap();
    for (name, bytes, age) in [
        ("a", component("newest"), 1),
        ("b", component("oldest"), 3),
        ("c", component("refuse"), 2),
        ("d", component("half")[..12].to_vec(), 4),
    ] {
        let path = home.path().join(format!("{name}.wasm"));
        fs::write(&path, bytes).unwrap();
        let time = std::time::SystemTime::now() - Duration::from_secs(age * 60);
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }
    let options = Options { notify: false, quiet: PATIENCE, ..Options::default() };
    let mut loader =
        Loader::with(home.path().to_owned(), SIZE_MOST, options, |artifact| fake(&artifact, &Gate::default()));
    let news: Vec<_> = loader.first_scan().iter().map(said).collect();
    assert_eq!(news, ["waiting d PM0311", "compiled b oldest", "refused c PM0303", "compiled a newest"]);
}

#[test]
fn the_real_compiler_refuses_by_code() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("component.wasm"), b"\0asm\x0d\0\x01\0").unwrap();
    fs::write(home.path().join("module.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let runtime = Runtime::new(&crate::config::model::Plugins::default(), 1, "", None).unwrap();
    let news = Loader::new(home.path().to_owned(), runtime, Options::default()).first_scan();
    let mut codes: Vec<_> = news.iter().map(|news| refusal(news).unwrap()).collect();
    codes.sort();
    assert_eq!(codes, [("component", Code::MISSING_EXPORT), ("module", Code::NOT_A_COMPONENT)]);
}

fn refusal(news: &News) -> Option<(&str, Code)> {
    match news {
        News::Refused { name, problem, .. } => Some((name, problem.code)),
        _ => None,
    }
}

const SIZE_MOST: u64 = 200_000;

/// A watched directory and what is told of it.
struct Stage {
    home: tempfile::TempDir,
    directory: PathBuf,
    news: mpsc::Receiver<News<String>>,
    rescan: Arc<Notify>,
    gate: Arc<Gate>,
}

impl Stage {
    fn new(notify: bool) -> Stage {
        Stage::with(notify, |_| {})
    }

    fn with(notify: bool, before: impl FnOnce(&Path)) -> Stage {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("plugins");
        fs::create_dir(&directory).unwrap();
        before(&directory);
        let (sender, news) = mpsc::channel(16);
        let (rescan, gate) = (Arc::new(Notify::new()), Arc::<Gate>::default());
        // With events they are all that wakes it: a tick would hide that none came.
        let tick = if notify { 10 * PATIENCE } else { crate::watch::TICK };
        let options = Options { notify, quiet: QUIET, tick };
        let at_gate = Arc::clone(&gate);
        let loader = Loader::with(directory.clone(), SIZE_MOST, options, move |artifact| fake(&artifact, &at_gate));
        tokio::spawn(loader.run(sender, Arc::clone(&rescan)));
        Stage { home, directory, news, rescan, gate }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.wasm"))
    }

    /// As a careful writer does it.
    fn put(&self, name: &str, bytes: &[u8]) {
        let scratch = self.directory.join("scratch.tmp");
        fs::write(&scratch, bytes).unwrap();
        fs::rename(scratch, self.file(name)).unwrap();
    }

    async fn next(&mut self) -> String {
        said(&tokio::time::timeout(PATIENCE, self.news.recv()).await.expect("news in time").unwrap())
    }

    /// What happened before this file would be told before it.
    async fn nothing_more(&mut self) {
        self.put("last", &component(&format!("{:?}", Instant::now())));
        let next = self.next().await;
        assert!(next.starts_with("compiled last"), "{next}");
    }
}

/// Where the compiling of the file `held` waits.
#[derive(Default)]
struct Gate {
    /// Whether somebody waits, and whether it is open.
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 = true;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| !state.1).unwrap());
    }

    fn wait_for_arrival(&self) {
        drop(self.changed.wait_while(self.state.lock().unwrap(), |state| !state.0).unwrap());
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

/// A component of one custom section, whose name is the text.
fn component(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    assert!(length < 0x7f, "one byte each for two lengths");
    [b"\0asm\x0d\0\x01\0", &[0, length + 1, length][..], text.as_bytes()].concat()
}

fn fake(artifact: &Artifact, gate: &Gate) -> Result<String, Problem> {
    let text = String::from_utf8(artifact.bytes[11..].to_vec()).unwrap();
    match text.as_str() {
        "held" => gate.pass(),
        "crash" => panic!("as asked"),
        "refuse" => return Err(Problem::error(Code::MISSING_EXPORT, "exports nothing")),
        _ => {}
    }
    Ok(format!("{} {text}", artifact.name))
}

fn said(news: &News<String>) -> String {
    match news {
        News::Compiled(what) => format!("compiled {what}"),
        News::Refused { name, problem, .. } => format!("refused {name} {}", problem.code),
        News::Waiting { name, problem, .. } => format!("waiting {name} {}", problem.code),
        News::Removed { name, .. } => format!("removed {name}"),
        News::Trouble(problem) => {
            let what = problem.headline.split_once("/plugins ").expect("names the directory").1;
            format!("trouble {} {}", problem.code, what.split([':', ';']).next().unwrap())
        }
    }
}
