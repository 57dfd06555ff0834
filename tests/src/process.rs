//! Real `weir` processes: started, watched, signalled and killed.
//!
//! Nothing here waits by sleeping: output is waited for as it comes, with a deadline that only a failure reaches.
//! Whatever is still running when its handle is dropped is killed; what a node said on stderr is printed when the
//! test fails, and a panic in any process fails the test.
#![expect(clippy::disallowed_methods, reason = "deadlines of tests are real time")]

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};

/// How long anything may take that normally takes far less: long enough for a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The program under test, and how to call it.
#[derive(Clone, Debug)]
pub struct Weir {
    binary: PathBuf,
    environment: Vec<(String, String)>,
    folder: Option<PathBuf>,
    /// A program that becomes this one, with its arguments.
    through: Vec<String>,
}

/// Where a process writes what it has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stderr {
    Pipe,
    Terminal,
}

/// A signal, by the name that `kill` gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The process is gone at once, without a word.
    Kill,
    /// The process is asked to stop.
    Term,
    /// Ctrl-C.
    Int,
    /// The process stands still.
    Stop,
    /// The process goes on where it stood still.
    Continue,
}

impl Weir {
    /// The program at `binary`, or the one that the variable `WEIR` names: a release build, for instance.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> Weir {
        let binary = std::env::var_os("WEIR").map_or_else(|| binary.into(), PathBuf::from);
        Weir::other_program(binary)
    }

    /// Another program that goes to the same places, such as an example.
    #[must_use]
    pub fn other_program(binary: impl Into<PathBuf>) -> Weir {
        Weir { binary: binary.into(), environment: Vec::new(), folder: None, through: Vec::new() }
    }

    /// As this one, called in `folder`.
    #[must_use]
    pub fn in_folder(&self, folder: &Path) -> Weir {
        Weir { folder: Some(folder.to_owned()), ..self.clone() }
    }

    /// As this one, started by a program that becomes what it is told to start, such as `setpriv`.
    #[must_use]
    pub fn through(&self, words: &[&str]) -> Weir {
        Weir { through: words.iter().map(|word| (*word).to_owned()).collect(), ..self.clone() }
    }

    /// As this one, as a client of the node at `address` with the certificates in `certs`.
    #[must_use]
    pub fn client_of(&self, address: SocketAddr, certs: &Path) -> Weir {
        self.with("WEIR_BOOTSTRAP", &address.to_string()).with("WEIR_CERTS", &certs.to_string_lossy())
    }

    /// As this one, with an environment variable.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Weir {
        let mut changed = self.clone();
        changed.environment.push((name.to_owned(), value.to_owned()));
        changed
    }

    /// Starts a command whose stdin is empty.
    pub fn spawn<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Running {
        self.spawn_with(arguments, Stdio::null())
    }

    /// Starts a command.
    ///
    /// # Panics
    /// If the program cannot be started.
    pub fn spawn_with<A: AsRef<OsStr>>(&self, arguments: &[A], stdin: Stdio) -> Running {
        self.start(arguments, stdin, Stderr::Pipe)
    }

    /// Starts a command whose stdin is empty and whose stderr is a terminal.
    ///
    /// # Panics
    /// If the program cannot be started, or the system gives no terminal.
    pub fn spawn_on_terminal<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Running {
        self.start(arguments, Stdio::null(), Stderr::Terminal)
    }

    fn start<A: AsRef<OsStr>>(&self, arguments: &[A], stdin: Stdio, stderr: Stderr) -> Running {
        let mut command = match self.through.split_first() {
            None => Command::new(&self.binary),
            Some((first, others)) => {
                let mut command = Command::new(first);
                command.args(others).arg(&self.binary);
                command
            }
        };
        command.args(arguments).stdin(stdin).stdout(Stdio::piped());
        let terminal = match stderr {
            Stderr::Pipe => {
                command.stderr(Stdio::piped());
                None
            }
            Stderr::Terminal => {
                let (ours, theirs) = terminal();
                command.stderr(Stdio::from(theirs));
                Some(ours)
            }
        };
        for inherited in ["WEIR_BOOTSTRAP", "WEIR_CERTS", "WEIR_LOG"] {
            command.env_remove(inherited);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        let words: Vec<_> = arguments.iter().map(|word| word.as_ref().to_string_lossy()).collect();
        let mut line = words.join(" ");
        if let Some((cut, _)) = line.char_indices().nth(200) {
            line.truncate(cut);
        }
        match command.spawn() {
            Ok(child) => Running::new(child, terminal, line),
            Err(error) => panic!("cannot start {}: {error}", self.binary.display()),
        }
    }

    /// Runs a command to its end.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Finished {
        self.spawn(arguments).finish()
    }

    /// Runs a command to its end with `input` on its stdin.
    ///
    /// # Panics
    /// If the input cannot be kept.
    pub fn run_with_input<A: AsRef<OsStr>>(&self, arguments: &[A], input: &[u8]) -> Finished {
        let mut file = tempfile::tempfile().expect("a temporary file can be made");
        std::io::Write::write_all(&mut file, input).expect("a temporary file can be written");
        std::io::Seek::rewind(&mut file).expect("a temporary file can be rewound");
        self.spawn_with(arguments, Stdio::from(file)).finish()
    }

    /// Starts a node on `data` at `listen`, and waits until it serves.
    ///
    /// # Panics
    /// If it does not become ready.
    #[must_use]
    pub fn node(&self, data: &Path, listen: SocketAddr) -> Node {
        self.node_with(data, listen, &[])
    }

    /// As [`Weir::node`], with further flags.
    ///
    /// # Panics
    /// If it does not become ready.
    #[must_use]
    pub fn node_with(&self, data: &Path, listen: SocketAddr, flags: &[&str]) -> Node {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut node =
            Node { weir: self.clone(), data: data.to_owned(), address: listen, flags, process: None };
        node.start();
        node
    }
}

/// A node, running or killed.
#[derive(Debug)]
pub struct Node {
    weir: Weir,
    data: PathBuf,
    address: SocketAddr,
    flags: Vec<String>,
    process: Option<Running>,
}

impl Node {
    /// Starts it again, on the same folder and port.
    ///
    /// # Panics
    /// If it runs already, or does not become ready.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "the node at {} is running", self.address);
        let (data, listen) = (self.data.to_string_lossy().into_owned(), self.address.to_string());
        let mut arguments = vec!["node", "--data", &data, "--listen", &listen];
        arguments.extend(self.flags.iter().map(String::as_str));
        let process = self.weir.spawn(&arguments);
        let ready = process.wait_for_line("ready ");
        self.address = ready["ready ".len()..].parse().expect("after `ready` stands the node's address");
        self.process = Some(process);
    }

    /// The program, as a client of this node.
    #[must_use]
    pub fn client(&self) -> Weir {
        self.weir.client_of(self.address, &self.certs())
    }

    /// Where it serves.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What its clients show.
    #[must_use]
    pub fn certs(&self) -> PathBuf {
        self.data.join("certs")
    }

    /// The process.
    ///
    /// # Panics
    /// If it was killed and not started again.
    #[must_use]
    pub fn process(&self) -> &Running {
        self.process.as_ref().expect("the node is running")
    }

    /// `kill -9`; returns once it is gone.
    ///
    /// # Panics
    /// If it is not running.
    pub fn kill(&mut self) -> Finished {
        let process = self.process.take().expect("only a running node can be killed");
        process.signal(Signal::Kill);
        process.finish()
    }

    /// SIGTERM; returns once it is gone.
    ///
    /// # Panics
    /// If it is not running.
    pub fn stop(&mut self) -> Finished {
        let process = self.process.take().expect("only a running node can be stopped");
        process.signal(Signal::Term);
        process.finish()
    }

    /// What it holds in memory, in bytes (`VmRSS`).
    ///
    /// # Panics
    /// If the system does not tell.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that it has held in memory so far, in bytes (`VmHWM`).
    ///
    /// # Panics
    /// If the system does not tell.
    #[must_use]
    pub fn peak_resident_bytes(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.process().id);
        let status = std::fs::read_to_string(path).expect("Linux tells how much memory a process holds");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the figure is in it");
        let kib = line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("it is a number of KiB");
        kib * 1024
    }
}

/// A process that was started.
#[derive(Debug)]
pub struct Running {
    id: u32,
    line: String,
    stdout: Capture,
    stderr: Capture,
    end: Arc<Signalled<Option<ExitStatus>>>,
}

impl Running {
    fn new(mut child: Child, terminal: Option<File>, line: String) -> Running {
        let id = child.id();
        let stdout = Capture::of(child.stdout.take().expect("stdout is a pipe"));
        let stderr = match terminal {
            Some(terminal) => Capture::of(terminal),
            None => Capture::of(child.stderr.take().expect("stderr is a pipe")),
        };
        let end = Arc::new(Signalled::default());
        let theirs = Arc::clone(&end);
        std::thread::spawn(move || {
            // Waiting for our own child fails only if somebody else did, which nobody does.
            let status = child.wait().expect("a child can be waited for");
            theirs.change(|end| *end = Some(status));
        });
        Running { id, line, stdout, stderr, end }
    }

    /// The number of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What it wrote to stdout.
    #[must_use]
    pub fn stdout(&self) -> &Capture {
        &self.stdout
    }

    /// What it wrote to stderr.
    #[must_use]
    pub fn stderr(&self) -> &Capture {
        &self.stderr
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.end.look(|end| end.is_none())
    }

    /// Waits until stdout has a whole line with this beginning, and returns the line.
    ///
    /// # Panics
    /// If the process ends first, or [`DEADLINE`] passes.
    #[must_use]
    pub fn wait_for_line(&self, beginning: &str) -> String {
        let found = self.stdout.wait_for(|text| {
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            whole.lines().find(|line| line.starts_with(beginning)).map(str::to_owned)
        });
        found.unwrap_or_else(|| panic!("no line '{beginning}...' from weir {}: {}", self.line, self.said()))
    }

    /// Waits until stdout has at least so many lines.
    ///
    /// # Panics
    /// If the process ends first, or [`DEADLINE`] passes.
    pub fn wait_for_lines(&self, count: usize) {
        let found = self.stdout.wait(|captured| captured.lines >= count);
        assert!(found, "fewer than {count} lines from weir {}: {}", self.line, self.said());
    }

    /// Waits until stderr has this text.
    ///
    /// # Panics
    /// If the process ends first, or [`DEADLINE`] passes.
    pub fn wait_for_stderr(&self, text: &str) {
        let found = self.stderr.wait_for(|stderr| stderr.contains(text).then_some(()));
        assert!(found.is_some(), "no '{text}' on stderr of weir {}: {}", self.line, self.said());
    }

    /// Sends a signal, unless the process has ended.
    ///
    /// # Panics
    /// If there is no shell to send it with.
    pub fn signal(&self, signal: Signal) {
        if !self.is_running() {
            return;
        }
        let name = match signal {
            Signal::Kill => "KILL",
            Signal::Term => "TERM",
            Signal::Int => "INT",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        };
        // The shell's own `kill`: there is one wherever there is a shell. It fails where the process just ended.
        let kill = format!("kill -{name} {} 2>/dev/null", self.id);
        Command::new("sh").args(["-c", &kill]).status().expect("there is a shell to send a signal with");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If [`DEADLINE`] passes.
    #[must_use]
    pub fn finish(self) -> Finished {
        self.finish_within(DEADLINE)
    }

    /// Waits for its end, for at most so long.
    ///
    /// # Panics
    /// If the time passes.
    #[must_use]
    pub fn finish_within(self, limit: Duration) -> Finished {
        let deadline = Instant::now() + limit;
        let status = self.end.wait_until(deadline, |end| *end);
        let status = status.unwrap_or_else(|| panic!("weir {} does not end: {}", self.line, self.said()));
        // A process that ended has closed its pipes, unless it left children behind that hold them.
        self.stdout.wait(|_| false);
        self.stderr.wait(|_| false);
        let finished = Finished {
            line: self.line.clone(),
            status,
            stdout: self.stdout.bytes(),
            stderr: self.stderr.text(),
        };
        assert!(!finished.stderr.contains("panicked at"), "a panic: {finished}");
        finished
    }

    fn said(&self) -> String {
        let end =
            self.end.look(|end| end.map_or_else(|| "still running".to_owned(), |status| status.to_string()));
        format!("{end}\nstdout: {}\nstderr: {}", tail(&self.stdout.text()), tail(&self.stderr.text()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let was_running = self.is_running();
        self.signal(Signal::Kill);
        if std::thread::panicking() {
            eprintln!("weir {}: {}", self.line, self.said());
        } else if was_running {
            let deadline = Instant::now() + DEADLINE;
            self.end.wait_until(deadline, |end| *end);
            self.stderr.wait(|_| false);
            assert!(
                !self.stderr.text().contains("panicked at"),
                "a panic in weir {}: {}",
                self.line,
                self.said()
            );
        }
    }
}

/// A process that ended.
#[derive(Debug)]
pub struct Finished {
    line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// All that it wrote to stdout.
    pub stdout: Vec<u8>,
    /// All that it wrote to stderr.
    pub stderr: String,
}

impl Finished {
    /// Requires exit code 0.
    ///
    /// # Panics
    /// If it failed.
    pub fn ok(self) -> Finished {
        assert!(self.status.success(), "{self}");
        self
    }

    /// Requires a polite refusal: an exit code that is not 0 and no signal's, and a sentence on stderr that contains
    /// each of `words`.
    ///
    /// # Panics
    /// If it is none.
    pub fn refused(self, words: &[&str]) -> Finished {
        let code = self.status.code();
        assert!(code.is_some_and(|code| (1..100).contains(&code)), "no polite refusal: {self}");
        assert!(!self.stderr.trim().is_empty(), "refused without a word: {self}");
        let lower = self.stderr.to_lowercase();
        for word in words {
            assert!(lower.contains(&word.to_lowercase()), "nothing about '{word}': {self}");
        }
        self
    }

    /// The last line of stdout, which `--output json` promises to be one JSON object.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let text = self.text();
        let last = text.lines().last().unwrap_or_default();
        let value = serde_json::from_str(last);
        value.unwrap_or_else(|error| panic!("the last line is no JSON object ({error}): {self}"))
    }

    /// What it wrote to stdout, as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The lines of stdout, byte for byte, without their ends.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let whole = self.stdout.strip_suffix(b"\n").unwrap_or(&self.stdout);
        let lines = whole.split(|byte| *byte == b'\n');
        lines.take(if self.stdout.is_empty() { 0 } else { usize::MAX })
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Finished { line, status, stderr, .. } = self;
        write!(f, "weir {line}: {status}\nstdout: {}\nstderr: {}", tail(&self.text()), tail(stderr))
    }
}

/// Output as it comes.
#[derive(Clone, Debug)]
pub struct Capture(Arc<Signalled<Captured>>);

#[derive(Debug, Default)]
struct Captured {
    bytes: Vec<u8>,
    lines: usize,
    ended: bool,
}

impl Captured {
    fn take(&mut self, chunk: &[u8]) {
        self.lines += chunk.iter().filter(|byte| **byte == b'\n').count();
        self.bytes.extend_from_slice(chunk);
    }
}

impl Capture {
    fn of(mut pipe: impl Read + Send + 'static) -> Capture {
        let capture = Capture(Arc::default());
        let ours = capture.clone();
        std::thread::spawn(move || {
            let mut chunk = vec![0; 64 * 1024];
            loop {
                match pipe.read(&mut chunk) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => ours.0.change(|captured| captured.take(&chunk[..count])),
                }
            }
            ours.0.change(|captured| captured.ended = true);
        });
        capture
    }

    /// All so far.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.0.look(|captured| captured.bytes.clone())
    }

    /// All so far, as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// Waits until `find` finds something; `None` once the output ended without it, or [`DEADLINE`] passed.
    pub fn wait_for<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + DEADLINE;
        let found = self.0.wait_until(deadline, |captured| {
            let found = find(&String::from_utf8_lossy(&captured.bytes));
            (found.is_some() || captured.ended).then_some(found)
        });
        found.flatten()
    }

    /// Waits until `is_enough`; false once the output ended before, or [`DEADLINE`] passed.
    fn wait(&self, is_enough: impl Fn(&Captured) -> bool) -> bool {
        let deadline = Instant::now() + DEADLINE;
        let enough = self.0.wait_until(deadline, |captured| {
            let enough = is_enough(captured);
            (enough || captured.ended).then_some(enough)
        });
        enough.unwrap_or(false)
    }
}

/// A value that others wait for.
#[derive(Debug, Default)]
struct Signalled<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Signalled<T> {
    fn change(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.value.lock().expect("nobody panics while changing it"));
        self.changed.notify_all();
    }

    fn look<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.value.lock().expect("nobody panics while changing it"))
    }

    /// What `find` finds, or `None` when the deadline passes first.
    fn wait_until<R>(&self, deadline: Instant, find: impl Fn(&T) -> Option<R>) -> Option<R> {
        let mut value = self.value.lock().expect("nobody panics while changing it");
        loop {
            if let Some(found) = find(&value) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            value = self.changed.wait_timeout(value, left).expect("nobody panics while changing it").0;
        }
    }
}

/// An address on loopback whose UDP and TCP port are free, below the ports that the system hands out by itself: so
/// that a node finds its port free when it comes back.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = u16::try_from(std::process::id() % 100).expect("below a hundred") * 100;
    for _ in 0..1000 {
        let port = 20_000 + (base + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port between 20000 and 30000")
}

/// A terminal: our end of it, and that of whoever writes to it. Ours ends, with an error, once the other one is closed.
fn terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("the system has terminals");
    unlockpt(&ours).expect("a terminal of our own can be unlocked");
    let name = ptsname(&ours, Vec::new()).expect("a terminal has a name");
    let theirs = open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("a terminal can be opened");
    (File::from(ours), File::from(theirs))
}

/// The end of a long text.
fn tail(text: &str) -> String {
    const LINES: usize = 40;
    let lines: Vec<_> = text.lines().collect();
    let mut shown = String::new();
    if lines.len() > LINES {
        // Writing to a string does not fail.
        let _ = writeln!(shown, "({} lines before)", lines.len() - LINES);
    }
    for line in lines.iter().skip(lines.len().saturating_sub(LINES)) {
        let cut = line.char_indices().nth(300).map_or(line.len(), |(at, _)| at);
        shown.push_str(&line[..cut]);
        shown.push('\n');
    }
    shown
}
