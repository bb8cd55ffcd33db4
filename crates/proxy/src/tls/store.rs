//! All that the proxy has to show to TLS clients, and what it asks the agent for.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use roost_core::{Certificates, Choice, Gap, Validity, Visit};
use roost_wire::{App, Certificate, Name};
use rustls::crypto::CryptoProvider;
use tokio::time::{Instant, timeout_at};

use super::awaited::{Awaited, News, wish};
use super::limits::Limits;
use super::loaded::{Issue, Loaded, provider};
use super::self_signed::SelfSigned;
use crate::shared::Shared;

/// How long a handshake waits for a certificate.
const PATIENCE: Duration = Duration::from_secs(10);

/// Shared by all threads.
#[derive(Debug)]
pub(crate) struct Store {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) limits: Limits,
    pub(crate) awaited: Awaited,
    known: RwLock<Certificates<Loaded>>,
    /// Tells texts of certificates apart.
    prints: RandomState,
    self_signed: SelfSigned,
}

/// Who wants which certificate of an app.
pub(super) struct Wanted {
    pub(super) app: Arc<App>,
    /// The organization of the caller's network.
    pub(super) audience: Name,
    /// The name that the client said, in lower case.
    pub(super) name: Option<String>,
    /// Whether one signed by the proxy will do.
    pub(super) self_signed: bool,
}

/// Why there is no certificate.
#[derive(Debug)]
pub(super) enum Lack {
    /// The app is not called so.
    Name(Option<Validity>),
    /// There is none now.
    Certificate(String),
}

impl Wanted {
    fn issue(&self) -> Issue {
        (self.app.id.clone(), self.audience.clone())
    }
}

impl Lack {
    /// When nothing better than this will be issued.
    fn of(gap: &Gap<Loaded>) -> Self {
        if gap.unnamed {
            return Self::Name(gap.lapsed);
        }
        Self::Certificate("the one that was issued is not valid at this time".to_owned())
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            provider: Arc::new(provider()),
            limits: Limits::default(),
            awaited: Awaited::default(),
            known: RwLock::default(),
            prints: RandomState::new(),
            self_signed: SelfSigned::default(),
        }
    }
}

impl Store {
    /// Creates or replaces one; the error is one sentence.
    pub(crate) fn put(&self, value: &Certificate) -> Result<(), String> {
        let loaded = self.load(value)?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.put(value, loaded);
        drop(known);
        if let Some(audience) = &value.audience {
            let issue = (value.app.clone(), audience.clone());
            self.awaited.tell(&issue, &Ok(()));
        }
        Ok(())
    }

    /// Reads a certificate, unless it is the known one: whose sessions are then resumed as before.
    fn load(&self, value: &Certificate) -> Result<Arc<Loaded>, String> {
        let print = self.prints.hash_one((&*value.chain, &*value.key.0));
        let known = self.known().shown(&value.id).cloned();
        if let Some(known) = known.filter(|known| known.print == print) {
            return Ok(known);
        }
        let mut loaded = Loaded::read(&self.provider, &value.chain, &value.key.0)
            .map_err(|error| format!("certificate {} of {}: {error}", value.id, value.app))?;
        loaded.print = print;
        Ok(Arc::new(loaded))
    }

    /// Removes one; a missing one is fine.
    pub(crate) fn del(&self, id: &str) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.del(id);
    }

    /// The ids of all.
    pub(crate) fn ids(&self) -> Vec<Name> {
        self.known().ids().cloned().collect()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.known().len()
    }

    /// One that was asked for will not come.
    pub(crate) fn failed(&self, app: Name, audience: Name, message: Name) {
        self.awaited.tell(&(app, audience), &Err(message));
    }

    /// The certificate to show; waits for one to be issued.
    pub(super) async fn obtain(
        &self,
        shared: &Shared,
        wanted: &Wanted,
    ) -> Result<Arc<Loaded>, Lack> {
        let deadline = Instant::now() + PATIENCE;
        let lack = match self.choose(wanted) {
            Choice::Show { what, renew } => {
                ask_if(renew, shared, wanted, &what);
                return Ok(what);
            }
            Choice::Nothing(ended) => Lack::Name(ended),
            Choice::Await(gap) if !self.may_come(shared, wanted, &gap) => Lack::of(&gap),
            // Without anything else to show, the agent is waited for.
            Choice::Await(_) if wanted.self_signed && !shared.heard.load(Ordering::Relaxed) => {
                Lack::Certificate("nobody is there who could issue one".to_owned())
            }
            Choice::Await(_) => match timeout_at(deadline, self.issued(shared, wanted)).await {
                Ok(Ok(loaded)) => return Ok(loaded),
                Ok(Err(lack)) => lack,
                Err(_) => Lack::Certificate(format!(
                    "none was issued within {} s by the authority of {}",
                    PATIENCE.as_secs(),
                    wanted.audience
                )),
            },
        };
        if !wanted.self_signed {
            return Err(lack);
        }
        let usual = || format!("{}.flycast", wanted.app.id);
        let name = wanted.name.clone().unwrap_or_else(usual);
        let made = self.self_signed.get(&self.provider, &wanted.app.id, &name);
        made.map_err(Lack::Certificate)
    }

    /// Whether it is worth waiting. What was issued a moment ago is what would be issued now, so whoever calls
    /// by a name that it lacks must not have it asked for without end.
    fn may_come(&self, shared: &Shared, wanted: &Wanted, gap: &Gap<Loaded>) -> bool {
        let stale = gap.stale.as_ref();
        stale.is_none_or(|stale| stale.may_seek(shared.now()))
            || self.awaited.is_awaited(&wanted.issue())
    }

    /// Waits until the certificate is there, or something else than what would do.
    async fn issued(&self, shared: &Shared, wanted: &Wanted) -> Result<Arc<Loaded>, Lack> {
        let issue = wanted.issue();
        let full = || Lack::Certificate("too many wait for one already".to_owned());
        let (told, first) = self.awaited.wait(&issue).ok_or_else(full)?;
        // It may have come before there was a place to hear of it.
        if let Choice::Show { what, .. } = self.choose(wanted) {
            return Ok(what);
        }
        if first {
            shared.up(wish(&issue));
        }
        let news: News = told.await.unwrap_or(Ok(()));
        news.map_err(|message| Lack::Certificate(message.to_string()))?;
        match self.choose(wanted) {
            Choice::Show { what, .. } => Ok(what),
            Choice::Nothing(ended) => Err(Lack::Name(ended)),
            Choice::Await(gap) => Err(Lack::of(&gap)),
        }
    }

    fn choose(&self, wanted: &Wanted) -> Choice<Loaded> {
        let visit = Visit {
            app: &wanted.app,
            audience: &wanted.audience,
            name: wanted.name.as_deref(),
            now: unix_time(),
        };
        self.known().choose(&visit)
    }

    fn known(&self) -> RwLockReadGuard<'_, Certificates<Loaded>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for another one than `used`, when that is due.
fn ask_if(due: bool, shared: &Shared, wanted: &Wanted, used: &Loaded) {
    if due && used.may_ask(shared.now()) {
        shared.up(wish(&wanted.issue()));
    }
}

pub(super) fn unix_time() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
