//! `roost-proxy`: the data plane of one host.
//!
//! `roost-proxy --control PATH [--threads N] [--standby]` listens on a Unix socket for the agent and does what
//! `protocol/control.md` says. One thread per core moves bytes, one speaks with the agent, one tries
//! the ports of Machines that are coming up, one runs their health checks.

mod app;
mod applog;
mod arguments;
mod budget;
mod buffer;
mod by_name;
mod checks;
mod client;
mod control;
mod dispatch;
mod dns;
mod fly_src;
mod greeting;
mod group;
mod handover;
mod http;
mod http2;
mod large_heads;
mod listen;
mod mailbox;
mod netns;
mod phase;
mod probe;
mod proxy_proto;
mod ranges;
mod relay;
mod replay;
mod route;
mod seldom;
mod shared;
mod sockets;
mod source;
mod sources;
mod splice;
mod tcp;
mod tls;
mod udp;
mod unbound;
mod worker;

use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::thread;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tracing_subscriber::EnvFilter;

use crate::arguments::Arguments;
use crate::budget::Budget;
use crate::checks::{Checker, Orders};
use crate::probe::Prober;
use crate::shared::Shared;
use crate::worker::Worker;

fn main() -> ExitCode {
    // The DNS library warns of each odd message, and Machines may send as many as they like.
    let usual = |_| EnvFilter::new("info,hickory_proto=error");
    let filter = EnvFilter::try_from_env("ROOST_LOG").unwrap_or_else(usual);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("roost-proxy: {message}");
            return ExitCode::from(64);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("roost-proxy: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    let files = raise_file_limit();
    let runtime = new_runtime()?;
    let signals = runtime.block_on(async { control::Signals::take_over() })?;
    let handover = arguments.control.with_extension("hand");
    let heirs = control::bind(&handover)?;
    let listener = control::bind(&arguments.control)?;
    let (prober, jobs) = Prober::new();
    let (checker, orders) = Checker::new();
    let budget = Budget::of(files, memory());
    let role = arguments.role();
    let (shared, lines) = Shared::new(arguments.threads, budget, prober, checker, role);
    let shared = Arc::new(shared);
    let weak = Arc::downgrade(&shared);
    let of_checks = weak.clone();
    spawn("probe", move || probe::run(&jobs, &weak))?;
    spawn("checks", move || run_checks(orders, of_checks))?;
    let ranges = shared.clone();
    spawn("ranges", move || match new_runtime() {
        Ok(runtime) => runtime.block_on(ranges::run(ranges)),
        Err(error) => {
            tracing::error!(%error, "port ranges are not served");
            std::process::exit(1);
        }
    })?;
    for index in 0..arguments.threads {
        let shared = shared.clone();
        spawn(&format!("worker-{index}"), move || match new_runtime() {
            Ok(runtime) => runtime.block_on(Rc::new(Worker::new(shared, seed(index))).run(index)),
            Err(error) => {
                tracing::error!(%error, "a worker could not begin");
                std::process::exit(1);
            }
        })?;
    }
    let served = runtime.block_on(control::serve(shared, listener, heirs, lines, signals));
    for path in [&arguments.control, &handover] {
        if let Err(error) = std::fs::remove_file(path) {
            tracing::debug!(%error, path = %path.display(), "the socket was gone already");
        }
    }
    served
}

fn run_checks(orders: Orders, shared: Weak<Shared>) {
    match new_runtime() {
        Ok(runtime) => runtime.block_on(checks::run(orders, shared)),
        Err(error) => {
            tracing::error!(%error, "the thread of health checks could not begin");
            std::process::exit(1);
        }
    }
}

/// The bytes of memory that the host has, or that the process may have if that is less.
fn memory() -> u64 {
    let known = rustix::system::sysinfo();
    let host = (known.totalram as u64).saturating_mul(known.mem_unit.into());
    let limits = [Resource::Data, Resource::As].map(|limit| getrlimit(limit).current);
    limits.into_iter().flatten().fold(host, u64::min)
}

fn new_runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map(drop)
}

/// Differs between workers and runs; only ties depend on it.
fn seed(index: usize) -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since
        .map_or(1, |since| u64::from(since.subsec_nanos()))
        .wrapping_add((index as u64) << 32)
}

/// Raises the soft limit of open files to the hard one and gives it.
fn raise_file_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(1 << 20)
}
