//! A host of the torture: a thread that stands in a network and mount namespace of its own, where this user may.
//!
//! Whatever the thread starts is in its namespaces too. They have no names, so that they are gone with the last process in
//! them; and those processes die with the thread (`setpriv --pdeathsig`), however the harness ends.

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The most bytes of a packet between hosts.
const MTU: &str = "1500";
/// What each host calls its device.
#[cfg(target_os = "linux")]
const DEVICE: &str = "weir0";

/// A thread that does what it is asked, one thing after the other.
#[derive(Debug)]
pub(super) struct Host {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// Starts the thread.
    ///
    /// # Panics
    /// If there are no threads left.
    #[must_use]
    pub(super) fn start(name: &str) -> Host {
        let (jobs, todo) = mpsc::channel::<Job>();
        let work = move || todo.into_iter().for_each(|job| job());
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
        Host { jobs: Some(jobs), thread: Some(thread.expect("there are threads left")) }
    }

    /// Runs something on the host, and waits for it.
    ///
    /// # Panics
    /// If that panics.
    pub(super) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.begin(work).blocking_recv().expect("what runs on a host does not panic")
    }

    /// As [`Host::run`], without holding up the caller's runtime.
    ///
    /// # Panics
    /// If that panics.
    pub(super) async fn call<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        self.begin(work).await.expect("what runs on a host does not panic")
    }

    /// Runs something on the host, and waits for nothing yet.
    ///
    /// # Panics
    /// If the host is gone.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (told, result) = oneshot::channel();
        let job: Job = Box::new(move || drop(told.send(work())));
        let jobs = self.jobs.as_ref().expect("the host is there until it is dropped");
        jobs.send(job).expect("the host's thread runs until it is dropped");
        result
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // Its panic was told to whoever asked for the work.
            let _ = thread.join();
        }
    }
}

/// The way into a host's network.
#[cfg(target_os = "linux")]
pub(super) type Device = tun_rs::SyncDevice;
/// The way into a host's network, of which there is none here.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(super) enum Device {}

/// Gives the calling thread a network with one device and a view of the mounts that nobody else sees.
///
/// # Errors
/// Why that cannot be.
#[cfg(target_os = "linux")]
pub(super) fn enter_namespaces(address: Ipv4Addr) -> Result<Device, String> {
    use nix::sched::{CloneFlags, unshare};

    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
        .map_err(|error| format!("no namespaces ({error}): run as root"))?;
    run("mount", &["--make-rprivate", "/"])?;
    let device = tun_rs::DeviceBuilder::new().name(DEVICE).enable(false).build_sync();
    let device = device.map_err(|error| format!("no TUN device ({error})"))?;
    device.set_nonblocking(true).map_err(|error| format!("no TUN device ({error})"))?;
    run("ip", &["link", "set", "lo", "up"])?;
    run("ip", &["address", "add", &format!("{address}/24"), "dev", DEVICE])?;
    run("ip", &["link", "set", DEVICE, "mtu", MTU, "txqueuelen", "4000", "up"])?;
    Ok(device)
}

/// There are none but on Linux.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub(super) fn enter_namespaces(_: Ipv4Addr) -> Result<Device, String> {
    Err("network namespaces are Linux's".to_owned())
}

/// Puts a file system in memory onto a folder, in the calling thread's view of the mounts.
///
/// # Errors
/// Why that cannot be.
pub(super) fn mount_small_disk(folder: &str, bytes: u64) -> Result<(), String> {
    run("mount", &["-t", "tmpfs", "-o", &format!("size={bytes}"), "weir-torture", folder])
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new(program);
    let status =
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let words = arguments.join(" ");
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} {words}: {status}")),
        Err(error) => Err(format!("{program}: {error}")),
    }
}
