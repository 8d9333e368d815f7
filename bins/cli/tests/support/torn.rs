//! A tool that is killed, stopped, crowded or out of space, over and over. What it wrote before may be there afterwards, or
//! what it writes then, but never a part of a file, nor some of both.
#![cfg(unix)]
#![allow(dead_code)] // no tool needs all of it

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Contents by name, below a folder.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Makes a command that writes into the folder.
pub(crate) type Door = Box<dyn Fn() -> Command>;

/// A folder that a tool writes into, asked for one thing or for another.
pub(crate) struct Torn {
    folder: PathBuf,
    doors: [Door; 2],
    /// What each of them writes when nothing happens.
    complete: [Files; 2],
    /// How long each of them takes.
    time: [Duration; 2],
    /// Begins the names of the files that each of them puts into place last.
    last: [&'static str; 2],
    /// A file that may be there too when a run did not end.
    besides: &'static str,
}

impl Torn {
    /// Runs each of the two undisturbed.
    pub(crate) fn new(folder: PathBuf, doors: [Door; 2], last: [&'static str; 2]) -> Self {
        let complete = [Files::new(), Files::new()];
        let mut torn = Self { folder, doors, complete, time: Default::default(), last, besides: "\0" };
        for which in [0, 1] {
            torn.restore(&Files::new());
            torn.succeed(which);
            torn.complete[which] = torn.files();
            let mut times = [0; 5].map(|_| {
                let start = Instant::now();
                torn.succeed(which);
                start.elapsed()
            });
            times.sort();
            torn.time[which] = times[2];
            assert!(torn.files() == torn.complete[which], "a run gives the same bytes again");
        }
        assert!(torn.complete[0] != torn.complete[1], "or nothing would be tested");
        torn
    }

    /// Allows for one more file while a run has not ended.
    pub(crate) fn besides(self, besides: &'static str) -> Self {
        Self { besides, ..self }
    }

    /// Kills runs of one over the results of the other at random moments.
    pub(crate) fn killed(&self, kills: usize) {
        let mut random = Random(0x5eed);
        let (mut died, mut halfway) = (0, 0);
        for kill in 0..kills {
            let which = kill / 3 % 2;
            self.restore(&self.complete[1 - which]);
            let mut child = quiet(&mut (self.doors[which])()).spawn().unwrap();
            let time = self.time[which];
            match kill % 3 {
                0 => random.sleep(Duration::ZERO, time),
                1 => random.sleep(time / 2, time),
                // While results are replaced, which may be quick: as soon as one of them is, or a moment later.
                _ => {
                    let names: Vec<&String> = self.complete[1 - which].keys().collect();
                    let path = self.folder.join(names[kill / 6 % names.len()]);
                    let inode = || path.metadata().map(|metadata| metadata.ino()).ok();
                    let before = inode();
                    while (0..100).all(|_| inode() == before) {
                        if child.try_wait().unwrap().is_some() {
                            break;
                        }
                    }
                    if kill % 4 == 0 {
                        random.sleep(Duration::ZERO, Duration::from_millis(3));
                    }
                }
            }
            child.kill().unwrap();
            died += usize::from(child.wait().unwrap().signal() == Some(9));
            halfway += usize::from(self.is_halfway());
        }
        eprintln!("{kills} kills: {died} runs died, {halfway} of them while results were replaced");
        assert!(died > kills / 4, "only {died} of {kills} runs were killed");
        for which in [0, 1] {
            self.succeed(which);
            assert!(
                self.files() == self.complete[which],
                "nothing is left of killed runs: {:?}",
                self.names()
            );
        }
    }

    /// Whether a run ended between the results before and its own. Sees that there is some of at most one of them.
    fn is_halfway(&self) -> bool {
        let found = self.results();
        let is_of =
            |which: &usize| found.iter().all(|(name, bytes)| self.complete[*which].get(name) == Some(bytes));
        let of: Vec<usize> = (0..2).filter(is_of).collect();
        assert!(!of.is_empty(), "a file that is neither, or some of both: {:?}", self.names());
        let is_whole = of.iter().any(|which| found.len() == self.complete[*which].len());
        let has_last = of.iter().any(|which| {
            let lasts =
                |files: &Files| files.keys().filter(|name| name.starts_with(self.last[*which])).count();
            lasts(&found) == lasts(&self.complete[*which])
        });
        assert!(is_whole || !has_last, "the last file is there, and others are not: {:?}", self.names());
        !is_whole
    }

    /// Interrupts runs at random moments. They leave what was there, or end well.
    pub(crate) fn signalled(&self, signals: usize) {
        let mut random = Random(0x51);
        let mut stopped = 0;
        for signal in 0..signals {
            let which = signal / 2 % 2;
            self.restore(&self.complete[1 - which]);
            let child = talking(&mut (self.doors[which])()).spawn().unwrap();
            random.sleep(Duration::ZERO, self.time[which]);
            let (name, number) = if signal % 2 == 0 { ("-INT", 2) } else { ("-TERM", 15) };
            Command::new("kill")
                .args([name, &child.id().to_string()])
                .stderr(Stdio::null())
                .status()
                .unwrap();
            let output = child.wait_with_output().unwrap();
            let says = String::from_utf8(output.stderr).unwrap();
            let results = self.results();
            assert!(self.names().iter().all(|name| !is_unfinished(name)), "{:?}", self.names());
            match output.status.code() {
                Some(0) => assert!(results == self.complete[which], "{:?}: {says}", self.names()),
                Some(code) => {
                    assert_eq!(code, 128 + number, "{says}");
                    assert!(says.lines().any(|line| line.starts_with("error: interrupted")), "{says}");
                    stopped += 1;
                }
                // Before it listened.
                None => assert_eq!(output.status.signal(), Some(number)),
            }
            if output.status.code() != Some(0) {
                assert!(results == self.complete[1 - which], "{:?}: {says}", self.names());
            }
        }
        eprintln!("{signals} signals: {stopped} runs stopped");
    }

    /// Starts runs of both at about the same time.
    pub(crate) fn crowded(&self, times: usize) {
        let mut random = Random(0xc0de);
        for time in 0..times {
            let first = time % 2;
            self.restore(&Files::new());
            let children = [first, 1 - first].map(|which| {
                random.sleep(Duration::ZERO, self.time[first] / 2);
                talking(&mut (self.doors[which])()).spawn().unwrap()
            });
            let codes = children.map(|child| {
                let output = child.wait_with_output().unwrap();
                let says = String::from_utf8_lossy(&output.stderr).into_owned();
                let code = output.status.code();
                assert!(
                    code == Some(0) || code == Some(2) && says.contains("another run is writing"),
                    "{says}"
                );
                code
            });
            assert!(codes.contains(&Some(0)), "one of them can");
            assert!(self.complete.contains(&self.files()), "both at once: {:?}", self.names());
        }
    }

    /// Limits the size of files, to more and more until it suffices.
    pub(crate) fn limited(&self) {
        for (refused, blocks) in (0..20).map(|power| (1 << power) - 1).enumerate() {
            self.restore(&self.complete[0]);
            let limit = format!(r#"ulimit -f {blocks}; exec "$@""#);
            let output = within(&["sh", "-c", &limit, "sh"], &(self.doors[1])());
            if output.status.success() {
                assert!(self.files() == self.complete[1], "{blocks}: {:?}", self.names());
                assert!(refused > 1, "too little was tried");
                return;
            }
            self.assert_refused(&output);
            assert!(self.results() == self.complete[0], "{blocks}: {:?}", self.names());
            assert!(self.names().iter().all(|name| !is_unfinished(name)), "{blocks}: {:?}", self.names());
        }
        panic!("no limit suffices");
    }

    /// Gives a disk of little space, and more and more until it suffices.
    pub(crate) fn full(&self) {
        if !has_namespaces() {
            return;
        }
        let temporary = tempfile::tempdir().unwrap();
        let after = temporary.path().join("after");
        for (refused, kibibytes) in (2..20).map(|power| 1_u32 << power).enumerate() {
            self.restore(&Files::new());
            let script = format!(
                r#"mount -t tmpfs -o size={kibibytes}k none "$0" || exit 99
                "$@"; code=$?; rm -rf "{after}"; cp -a "$0" "{after}"; exit $code"#,
                after = after.display()
            );
            let folder = self.folder.to_str().unwrap();
            let output = within(&["unshare", "-rm", "sh", "-c", &script, folder], &(self.doors[1])());
            let found = files(&after);
            if output.status.success() {
                assert!(found == self.complete[1], "{kibibytes}: {:?}", found.keys());
                assert!(refused > 0, "too little was tried");
                return;
            }
            self.assert_refused(&output);
            let mut names = found.keys().map(String::as_str);
            assert!(names.all(|name| name == self.besides), "{kibibytes}: {:?}", found.keys());
        }
        panic!("no disk suffices");
    }

    /// Takes away the right to write.
    pub(crate) fn read_only(&self) {
        if !has_namespaces() {
            return;
        }
        self.restore(&self.complete[0]);
        let script = r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" || exit 99; exec "$@""#;
        let folder = self.folder.to_str().unwrap();
        let output = within(&["unshare", "-rm", "sh", "-c", script, folder], &(self.doors[1])());
        self.assert_refused(&output);
        assert!(self.files() == self.complete[0], "{:?}", self.names());
    }

    fn assert_refused(&self, output: &Output) {
        let says = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{:?}: {says}", output.status);
        let names_it =
            |line: &str| line.starts_with("error: ") && line.contains(&*self.folder.to_string_lossy());
        assert!(says.lines().any(names_it), "{says}");
        assert!(says.lines().any(|line| line.starts_with("hint: ")), "{says}");
    }

    /// Has nobody listen.
    pub(crate) fn unheard(&self) {
        for which in [0, 1] {
            let mut child = talking(&mut (self.doors[which])()).arg("--verbose").spawn().unwrap();
            drop((child.stdout.take(), child.stderr.take()));
            assert_eq!(child.wait().unwrap().code(), Some(0), "{which}");
            assert_eq!(self.names(), self.complete[which].keys().cloned().collect::<Vec<_>>());
            let closed = within(&["sh", "-c", r#"exec "$@" >&- 2>&-"#, "sh"], &(self.doors[which])());
            assert_eq!(closed.status.code(), Some(0), "{which}");
            assert!(self.files() == self.complete[which]);
        }
    }

    fn succeed(&self, which: usize) {
        let output = talking(&mut (self.doors[which])()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Puts results into the folder in the place of those that are there. What is left of runs that did not end stays.
    fn restore(&self, results: &Files) {
        for name in self.results().keys() {
            fs::remove_file(self.folder.join(name)).unwrap();
        }
        for (name, bytes) in results {
            let path = self.folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        fs::create_dir_all(&self.folder).unwrap();
    }

    fn files(&self) -> Files {
        files(&self.folder)
    }

    /// All files that have their final names.
    fn results(&self) -> Files {
        let mut files = self.files();
        files.retain(|name, _| !is_unfinished(name) && name != self.besides);
        files
    }

    fn names(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }
}

/// What is in a folder and those below it.
pub(crate) fn files(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                files.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    files
}

pub(crate) fn is_unfinished(name: &str) -> bool {
    name.rsplit('/').next().unwrap().starts_with(".model-diffs-")
}

/// A command by way of another one.
pub(crate) fn within(outer: &[&str], inner: &Command) -> Output {
    let mut command = Command::new(outer[0]);
    command.args(&outer[1..]).arg(inner.get_program()).args(inner.get_args());
    command.current_dir(inner.get_current_dir().unwrap());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.output().unwrap()
}

/// Whether this user may mount file systems of their own.
pub(crate) fn has_namespaces() -> bool {
    let script = "mount -t tmpfs none /tmp && mount --bind /tmp /tmp && mount -o remount,bind,ro /tmp";
    let output = Command::new("unshare").args(["-rm", "sh", "-c", script]).output();
    let has = output.is_ok_and(|output| output.status.success());
    if !has {
        eprintln!("skipped: this needs user namespaces");
    }
    has
}

pub(crate) fn quiet(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::null()).stderr(Stdio::null())
}

pub(crate) fn talking(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// The same numbers in every run of the tests: SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn sleep(&mut self, from: Duration, to: Duration) {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let fraction = (bits >> 11) as f64 / (1_u64 << 53) as f64;
        std::thread::sleep(from + to.saturating_sub(from).mul_f64(fraction));
    }
}
