//! The checks of one life of a Machine: a task for each, and when it is its turn.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use roost_core::{Life, Run, RunWish, Watch};
use roost_wire::{Check, CheckResult, CheckStatus, Machine, MachineState, Name, Up};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::app::{AppHandle, Context};
use crate::checks::Desk;
use crate::checks::ask::{Failure, ask};
use crate::checks::board::Board;
use crate::shared::Shared;

/// Runs are at least so far apart, whatever a check says.
const LEAST_INTERVAL: Duration = Duration::from_millis(10);
/// While somebody waits for the first pass: from one run to the next, each time twice as long.
const FIRST_EAGER: Duration = Duration::from_millis(2);
/// The longest of these.
const LAST_EAGER: Duration = Duration::from_millis(250);
/// The first runs of Machines that were running already are spread over this time.
const SPREAD: Duration = Duration::from_millis(500);

/// A Machine that is checked; dropping it ends that.
pub(super) struct Lot {
    ward: Rc<Ward>,
    /// Dropped with it, and so ended.
    _tasks: JoinSet<()>,
}

/// What the tasks of one Machine share.
struct Ward {
    desk: Rc<Desk>,
    app: Arc<AppHandle>,
    machine: Arc<Machine>,
    life: Life,
    known: bool,
    places: Rc<Semaphore>,
    board: RefCell<Board>,
    /// Since when it is `started`: runs that nobody waits for begin then.
    started: Cell<Option<Instant>>,
    /// How often somebody began to wait.
    hurries: Cell<u64>,
    changed: Notify,
}

/// What follows a run.
enum After {
    /// The Machine was asked.
    Asked(RunWish),
    /// This host could not ask it.
    Untried,
}

impl Lot {
    /// Begins to check a Machine.
    pub(super) fn new(desk: Rc<Desk>, app: Arc<AppHandle>, watch: Watch) -> Self {
        let machine = watch.machine;
        let names = all_checks(&machine).map(|(check, _)| &check.name);
        let board = RefCell::new(Board::new(names, watch.known, now_ms()));
        let ward = Rc::new(Ward {
            places: desk.places(&app.name),
            desk,
            app,
            life: watch.life,
            known: watch.known,
            board,
            started: Cell::new(None),
            hurries: Cell::new(0),
            changed: Notify::new(),
            machine: machine.clone(),
        });
        ward.note_state(machine.state);
        let first = ward.board.borrow().results();
        ward.tell(&first);
        let mut tasks = JoinSet::new();
        for (check, of_service) in all_checks(&machine) {
            tasks.spawn_local(tend(ward.clone(), check.clone(), of_service));
        }
        Self {
            ward,
            _tasks: tasks,
        }
    }

    /// Which life of the Machine it is.
    pub(super) fn life(&self) -> Life {
        self.ward.life
    }

    /// The Machine changed and goes on living.
    pub(super) fn update(&self, watch: &Watch) {
        self.ward.note_state(watch.machine.state);
    }

    /// Somebody waits for the first pass.
    pub(super) fn hurry(&self) {
        self.ward.hurries.set(self.ward.hurries.get() + 1);
        self.ward.changed.notify_waiters();
    }

    /// What is known, for an agent that is new.
    pub(super) fn all_results(&self) -> Option<Up> {
        let results = self.ward.board.borrow().results();
        (!results.is_empty()).then(|| self.ward.line(results))
    }
}

impl Ward {
    fn note_state(&self, state: MachineState) {
        if state == MachineState::Started && self.started.get().is_none() {
            self.started.set(Some(Instant::now()));
            self.changed.notify_waiters();
        }
    }

    fn line(&self, results: Vec<CheckResult>) -> Up {
        Up::Checks {
            machine: self.machine.id.clone(),
            instance: self.machine.instance.clone(),
            results,
        }
    }

    fn tell(&self, results: &[CheckResult]) {
        if let Some(shared) = self.desk.shared.upgrade()
            && !results.is_empty()
            && !shared.try_up(self.line(results.to_vec()))
        {
            self.board.borrow_mut().untold(results);
        }
    }

    /// Runs a check once. `None` when the process ends.
    async fn run(&self, check: &Check, grace_end: Option<Instant>) -> Option<After> {
        let own = self.places.acquire().await.ok()?;
        let all = self.desk.running.take(&self.org()?).await;
        let shared = self.desk.shared.upgrade()?;
        let limit = Duration::from_millis(check.timeout_ms.max(1));
        let asking = ask(&shared, &self.desk.trust, &self.machine, check);
        let asked = tokio::time::timeout(limit, asking).await;
        drop((own, all));
        let answer = match asked {
            Ok(Ok(said)) => Ok(said),
            Ok(Err(Failure::There(said))) => Err(said),
            Ok(Err(Failure::Here(error))) => {
                self.desk.tell_untried(&shared, &self.machine.id, &error);
                return Some(After::Untried);
            }
            Err(_) => Err(format!("no answer within {} ms", check.timeout_ms)),
        };
        let wish = self.took(&shared, check, &answer, grace_end);
        Some(After::Asked(wish))
    }

    /// The organization that the Machine's app belongs to.
    fn org(&self) -> Option<Name> {
        Some(self.desk.shared.upgrade()?.org_of(&self.app.name))
    }

    fn took(
        &self,
        shared: &Arc<Shared>,
        check: &Check,
        answer: &Result<String, String>,
        grace_end: Option<Instant>,
    ) -> RunWish {
        let passed = answer.is_ok();
        let run = Run {
            life: self.life,
            check: &check.name,
            passed,
            early: grace_end.is_none_or(|end| Instant::now() < end),
        };
        let config = shared.config();
        let wish = self.app.checked(run, Context::new(shared, &config));
        if wish != RunWish::Stop {
            let (Ok(output) | Err(output)) = answer;
            let status = if passed {
                CheckStatus::Passing
            } else {
                CheckStatus::Critical
            };
            let news = self
                .board
                .borrow_mut()
                .note(&check.name, status, output, now_ms());
            self.tell(news.as_slice());
        }
        wish
    }
}

/// Runs one check again and again. `of_service` says that calls may wait for it.
async fn tend(ward: Rc<Ward>, check: Check, of_service: bool) {
    let interval = Duration::from_millis(check.interval_ms).max(LEAST_INTERVAL);
    let phase = phase(&ward.machine.id, &check.name);
    let grace = if ward.known {
        SPREAD.min(interval).mul_f64(phase)
    } else {
        Duration::from_millis(check.grace_ms)
    };
    // The first gap is shorter than the others, for each check by another part of it, so that Machines
    // that came up together are not checked together for ever.
    let mut gap = interval.mul_f64(1.0 - phase / 2.0);
    let mut eager = FIRST_EAGER;
    let mut next = None;
    let mut heard = 0;
    loop {
        let first = || ward.started.get().map(|since| since + grace);
        if turn(&ward, || next.or_else(first), &mut heard, of_service).await {
            eager = FIRST_EAGER;
        }
        let begun = Instant::now();
        match ward.run(&check, first()).await {
            // This host may be able to ask soon.
            Some(After::Untried) => next = Some(Instant::now() + LAST_EAGER.min(interval)),
            Some(After::Asked(RunWish::Eager)) => {
                next = Some(Instant::now() + eager.min(interval));
                eager = (eager * 2).min(LAST_EAGER);
            }
            // It was run for somebody who has gone: the run at the end of the grace period is to come.
            Some(After::Asked(RunWish::Usual)) if first().is_none_or(|end| begun < end) => {
                next = None;
            }
            Some(After::Asked(RunWish::Usual)) => {
                next = Some(begun + std::mem::replace(&mut gap, interval));
            }
            Some(After::Asked(RunWish::Stop)) | None => return,
        }
    }
}

/// Waits until it is time for a run; `true` when somebody waits for it.
async fn turn(
    ward: &Ward,
    due: impl Fn() -> Option<Instant>,
    heard: &mut u64,
    of_service: bool,
) -> bool {
    loop {
        let changed = ward.changed.notified();
        let before = std::mem::replace(heard, ward.hurries.get());
        if of_service && before != *heard {
            return true;
        }
        match due() {
            Some(at) => tokio::select! {
                () = sleep_until(at) => return false,
                () = changed => {}
            },
            None => changed.await,
        }
    }
}

/// The checks of a Machine, and whether each belongs to a service.
fn all_checks(machine: &Machine) -> impl Iterator<Item = (&Check, bool)> {
    let services = machine.services.iter();
    let of_services = services.flat_map(|service| service.checks.iter());
    let own = machine.checks.iter().map(|check| (check, false));
    of_services.map(|check| (check, true)).chain(own)
}

/// From 0 to 1, for each check of each Machine another one and always the same (FNV-1a).
fn phase(machine: &Name, check: &Name) -> f64 {
    let bytes = machine.bytes().chain([0]).chain(check.bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    f64::from(hash) / f64::from(u32::MAX)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
