//! Dynamic request routing: where a request goes, and where it goes after an app said `fly-replay`.
//!
//! A [`Plan`] belongs to one request and knows nothing of what its client speaks: it reads and changes heads in
//! the form of HTTP/1.1. Whoever serves the request makes attempts: get a unit of [`Plan::aim`], put
//! [`Plan::lines`] into the head, send; when the Machine answers with an order, [`Plan::replayed`] makes the plan
//! of the next attempt, and when no Machine is reached, [`Plan::rescued`] says whether there is another one.
//!
//! A replay is a way to reach an app without an address of it, so [`way`] decides who may go it, each time anew.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use roost_core::Wish;
use roost_http1::FinishedHead;
use roost_replay::{
    CacheOrder, Directive, Failure, Fallback, Invalid, Lookup, Reason, Rule, Source, Wanted,
    cache_status, preferred_unavailable,
};
use roost_wire::{Machine, Name};
use tokio::time::Instant;

use crate::app::AppHandle;
use crate::route::Target;
use crate::worker::Worker;

pub(crate) mod keeper;
pub(crate) mod memory;
pub(crate) mod rules;
mod way;

/// How often one request is replayed.
const MAX_REPLAYS: usize = 10;

/// Whom an attempt is for.
#[derive(Debug, Clone)]
pub(crate) struct Aim {
    /// The app.
    pub(crate) app: Arc<AppHandle>,
    /// Which of its Machines.
    pub(crate) wish: Option<Box<Wish>>,
    /// A Machine that is not to get it.
    pub(crate) exclude: Option<Name>,
}

/// Why a replay is not made: Fly's code and a sentence for the app's log and the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

/// The attempts of one request.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Whom the present attempt is for.
    pub(crate) aim: Aim,
    /// Lines for the head of the present attempt.
    pub(crate) lines: Vec<u8>,
    /// Until when a Machine has to be reached.
    pub(crate) deadline: Option<Instant>,
    /// The request has been in the hands of another app than the called one: nobody vouches for its caller.
    pub(crate) foreign: bool,
    replays: usize,
    bypassed: bool,
    /// What the caller wished, while a remembered replay goes before it.
    passed_by: Option<Box<Wish>>,
    stage: Stage,
    rescue: Option<Box<Rescue>>,
    /// The head as it came, once it was changed.
    original: Option<Box<[u8]>>,
}

/// The head of the next attempt, without its lines.
#[derive(Debug)]
pub(crate) enum NextHead {
    /// That of the present one.
    Same,
    /// Another one.
    Changed(Vec<u8>),
}

/// What the present attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// To the called app, or to where an app sent it.
    Usual,
    /// To where a remembered replay sends it.
    Remembered,
    /// Back to who asked for a replay that came to nothing.
    Fallback,
}

/// Who gets a request when its replay reaches nobody.
#[derive(Debug)]
struct Rescue {
    aim: Aim,
    foreign: bool,
    head: Box<[u8]>,
    source: Name,
    instance: Option<Name>,
    app: Name,
    region: Option<Name>,
    since: Instant,
}

/// What a plan needs to know of the connection it is made for.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) worker: &'a Worker,
    pub(crate) target: &'a Target,
    /// `replay_cache` of the called port.
    pub(crate) rules: &'a [Rule],
}

impl Refused {
    pub(crate) fn coded(code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, message }
    }
}

impl From<Invalid> for Refused {
    fn from(error: Invalid) -> Self {
        Self::coded("PA03", format!("an invalid fly-replay: {error}"))
    }
}

impl<'a> Ground<'a> {
    fn lookup(self, head: &'a [u8]) -> Lookup<'a> {
        Lookup {
            port: self.target.port,
            head: FinishedHead::new(head),
            rules: self.rules,
            now: self.worker.shared.now(),
        }
    }

    fn called(self) -> &'a Arc<AppHandle> {
        &self.target.app
    }
}

impl Plan {
    /// The plan of a request with this head. `routed` says that the caller may have said where it wants it to
    /// go.
    pub(crate) fn new(ground: Ground<'_>, head: &[u8], routed: bool) -> Self {
        let mut plan = Self::to_called(ground);
        let wanted = routed.then(|| Wanted::of(FinishedHead::new(head)));
        let wanted = wanted.unwrap_or_default();
        let wish = wanted.wish.map(Box::new);
        let Some(cached) = ground.called().memory.find(ground.lookup(head)) else {
            plan.aim.wish = wish;
            return plan;
        };
        plan.bypassed = wanted.skip_cache && cached.allow_bypass;
        let called = &*ground.called().name;
        match way::find(ground, called, target_of(ground, &cached.directive, called)) {
            Ok(app) if !plan.bypassed => {
                plan.stage = Stage::Remembered;
                plan.passed_by = wish;
                plan.turn_to(ground, app, &cached.directive, &cached.by);
                cache_status("hit", &mut plan.lines);
            }
            found => {
                if found.is_err() {
                    ground.called().memory.forget(ground.lookup(head));
                }
                plan.aim.wish = wish;
            }
        }
        plan
    }

    fn to_called(ground: Ground<'_>) -> Self {
        Self {
            aim: Aim {
                app: ground.called().clone(),
                wish: None,
                exclude: None,
            },
            lines: Vec::new(),
            deadline: None,
            foreign: false,
            replays: 0,
            bypassed: false,
            passed_by: None,
            stage: Stage::Usual,
            rescue: None,
            original: None,
        }
    }

    /// Plans the attempt that the Machine `by` asked for by its answer to the present one. `head` is that of
    /// the present attempt, without its lines.
    pub(crate) fn replayed(
        &mut self,
        ground: Ground<'_>,
        head: &[u8],
        directive: Directive,
        by: &Arc<Machine>,
    ) -> Result<NextHead, Refused> {
        if self.stage == Stage::Fallback {
            let message = "a request that came back after a failed replay cannot be replayed";
            return Err(Refused::coded("PA03", message));
        }
        if self.replays == MAX_REPLAYS {
            let message = format!("the request was replayed more than {MAX_REPLAYS} times");
            return Err(Refused::coded("PA02", message));
        }
        let found = way::find(ground, &by.app, target_of(ground, &directive, &by.app));
        let (app, gives_back) = match found {
            Err(refused) if refused.code == "PA05" && directive.says_nowhere() => {
                (given_back(ground, &directive, &by.app)?, true)
            }
            found => (found?, false),
        };
        let directive = Arc::new(directive);
        self.keep_in_mind(ground, head, &directive, by)?;
        self.rescue = self.rescue(&app, head, &directive, by);
        let changed = if gives_back {
            self.as_it_came()
        } else {
            self.change(head, &directive)?
        };
        self.lines.clear();
        self.deadline = directive.timeout.map(|timeout| Instant::now() + timeout);
        self.turn_to(ground, app, &directive, &by.id);
        write_source(by, &directive, &mut self.lines);
        cache_status(
            if self.bypassed { "bypass" } else { "miss" },
            &mut self.lines,
        );
        self.replays += 1;
        self.stage = Stage::Usual;
        Ok(changed)
    }

    /// Plans another attempt after one that reached no Machine; `None` when there is none.
    pub(crate) fn rescued(
        &mut self,
        ground: Ground<'_>,
        head: &[u8],
        reason: Reason,
    ) -> Option<NextHead> {
        if self.stage == Stage::Remembered {
            // The app itself knows better.
            ground.called().memory.forget(ground.lookup(head));
            let wish = self.passed_by.take();
            *self = Self::to_called(ground);
            self.aim.wish = wish;
            return Some(NextHead::Same);
        }
        let rescue = self.rescue.take()?;
        self.lines.clear();
        Failure {
            instance: rescue.instance.as_deref(),
            app: &rescue.app,
            region: rescue.region.as_deref(),
            source: &rescue.source,
            reason,
            elapsed_ms: rescue.since.elapsed().as_millis(),
        }
        .write(&mut self.lines);
        self.aim = rescue.aim;
        self.foreign = rescue.foreign;
        self.deadline = None;
        self.stage = Stage::Fallback;
        Some(NextHead::Changed(rescue.head.into_vec()))
    }

    /// Adds what a Machine is told that gets the request in place of another one.
    pub(crate) fn note_machine(&mut self, machine: &Name) {
        let wish = self.aim.wish.as_deref();
        if let Some(wanted) = wish.and_then(|wish| wish.instance.as_ref())
            && wanted != machine
        {
            preferred_unavailable(wanted, &mut self.lines);
        }
    }

    fn turn_to(
        &mut self,
        ground: Ground<'_>,
        app: Arc<AppHandle>,
        directive: &Directive,
        by: &Name,
    ) {
        self.foreign |= app.name != ground.called().name;
        self.aim = Aim {
            app,
            wish: directive.wish().map(Box::new),
            exclude: directive.elsewhere.then(|| by.clone()),
        };
    }

    /// Remembers and forgets as the order says. Only what the called app itself said of a request that came
    /// straight to it is remembered.
    fn keep_in_mind(
        &self,
        ground: Ground<'_>,
        head: &[u8],
        directive: &Arc<Directive>,
        by: &Machine,
    ) -> Result<(), Refused> {
        let called = ground.called();
        let lookup = ground.lookup(self.original.as_deref().unwrap_or(head));
        if directive.cache == Some(CacheOrder::Invalidate) {
            called.memory.forget(lookup);
        } else if self.replays == 0 && self.stage == Stage::Usual && by.app == called.name {
            let org = ground.worker.shared.org_of(&called.name);
            called.memory.remember(&org, lookup, directive, &by.id)?;
        }
        Ok(())
    }

    fn rescue(
        &self,
        app: &AppHandle,
        head: &[u8],
        directive: &Directive,
        by: &Machine,
    ) -> Option<Box<Rescue>> {
        let fallback = directive.fallback?;
        let mut aim = self.aim.clone();
        aim.exclude = None;
        aim.wish = Some(Box::new(Wish {
            instance: Some(by.id.clone()),
            regions: Vec::new(),
            strict: fallback == Fallback::ForceSelf,
        }));
        let instance = directive
            .instance
            .as_ref()
            .or(directive.prefer_instance.as_ref());
        Some(Box::new(Rescue {
            aim,
            foreign: self.foreign,
            head: head.into(),
            source: by.id.clone(),
            instance: instance.cloned(),
            app: app.name.clone(),
            region: directive.first_region().cloned(),
            since: Instant::now(),
        }))
    }

    /// The head without what apps have changed of it.
    fn as_it_came(&mut self) -> NextHead {
        let original = self.original.take();
        original.map_or(NextHead::Same, |head| NextHead::Changed(head.into_vec()))
    }

    fn change(&mut self, head: &[u8], directive: &Directive) -> Result<NextHead, Refused> {
        let Some(transform) = &directive.transform else {
            return Ok(NextHead::Same);
        };
        let mut changed = Vec::with_capacity(head.len());
        let edited = FinishedHead::new(head).write_edited(transform.edit(), &mut changed);
        edited.map_err(|error| Refused::coded("PA03", format!("`transform`: {error}")))?;
        self.original.get_or_insert_with(|| head.into());
        Ok(NextHead::Changed(changed))
    }
}

/// The app that a directive of the app `source` means.
fn target_of<'a>(ground: Ground<'a>, directive: &'a Directive, source: &'a str) -> &'a str {
    match &directive.app {
        Some(app) => app,
        None if directive.says_nowhere() => &ground.called().name,
        None => source,
    }
}

/// The called app, for a request that an app gives back which may send it none: nothing of that one's is in it.
fn given_back(
    ground: Ground<'_>,
    directive: &Directive,
    source: &str,
) -> Result<Arc<AppHandle>, Refused> {
    let called = ground.called();
    if directive.transform.is_some() || directive.state.is_some() {
        let message = format!(
            "the app {source} may send no request to {}, so it can only give this one back as it came: \
             without `transform` and `state`",
            called.name
        );
        return Err(Refused::coded("PA05", message));
    }
    Ok(called.clone())
}

fn write_source(by: &Machine, directive: &Directive, lines: &mut Vec<u8>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Source {
        instance: &by.id,
        region: &by.region,
        time: now.unwrap_or(Duration::ZERO).as_micros(),
        state: directive.state.as_deref(),
    }
    .write(lines);
}
