//! The connections of one worker that came by the same address of an app: they end together when the
//! address is taken away, and all of them when the process ends.
//!
//! A connection is a task. It leaves its waker with its group once, and looks at the group's phase when it
//! is woken, whatever for; so a group costs nothing per request, and it has a timer only while it ends. An
//! address that comes back has a new group: those who came by it before are not saved.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use roost_core::Release;
use roost_wire::Name;

/// How far a group is on its way to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not on it.
    Open,
    /// What is under way may end by itself.
    Closing,
    /// Nothing may go on.
    Over,
}

/// All groups of one worker.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    known: Rc<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By app; few of an app's addresses are in use at once.
    by_app: RefCell<HashMap<Name, Vec<Rc<Group>>>>,
    /// Those who have not said yet which app they mean.
    strangers: Rc<Group>,
}

#[derive(Debug)]
struct Group {
    app: Name,
    network: Name,
    ip: IpAddr,
    phase: Cell<Phase>,
    wakers: RefCell<Wakers>,
}

/// Wakers by small numbers, which are used again.
#[derive(Debug, Default)]
struct Wakers {
    all: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// A connection's place in its group; dropping it leaves the group.
#[derive(Debug)]
pub(crate) struct Member {
    known: Rc<Known>,
    group: Rc<Group>,
    place: Cell<Option<usize>>,
}

impl Groups {
    /// A place among the connections that came by `ip` of an app.
    pub(crate) fn enter(&self, app: &Name, network: &Name, ip: IpAddr) -> Member {
        let mut by_app = self.known.by_app.borrow_mut();
        let same = |group: &&Rc<Group>| group.is_of(network, ip);
        let found = by_app.get(app).and_then(|groups| groups.iter().find(same));
        let group = found.cloned().unwrap_or_else(|| {
            let group = Rc::new(Group::new(app.clone(), network.clone(), ip));
            let groups = by_app.entry(app.clone()).or_default();
            groups.push(group.clone());
            group
        });
        self.member(group)
    }

    /// A place among those of no app yet. Only the end of the process ends these.
    pub(crate) fn enter_as_stranger(&self) -> Member {
        self.member(self.known.strangers.clone())
    }

    fn member(&self, group: Rc<Group>) -> Member {
        Member {
            known: self.known.clone(),
            group,
            place: Cell::default(),
        }
    }

    /// Begins to end the connections that came by an address. To be called inside the worker's runtime.
    pub(crate) fn release(&self, release: &Release) {
        let same = |group: &Group| group.is_of(&release.network, release.ip);
        let Some(group) = self.known.take(&release.app, same) else {
            return;
        };
        group.turn(Phase::Closing);
        let patience = Duration::from_millis(release.drain_ms);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(patience).await;
            group.turn(Phase::Over);
        });
    }

    /// Ends every connection. Those that come later are not ended.
    pub(crate) fn end_all(&self) {
        self.known.strangers.turn(Phase::Over);
        let all = std::mem::take(&mut *self.known.by_app.borrow_mut());
        all.values()
            .flatten()
            .for_each(|group| group.turn(Phase::Over));
    }

    /// Has every connection look again whether it should go on.
    pub(crate) fn wake_all(&self) {
        self.known.strangers.wake();
        let by_app = self.known.by_app.borrow();
        by_app.values().flatten().for_each(|group| group.wake());
    }
}

impl Known {
    fn take(&self, app: &Name, wanted: impl Fn(&Group) -> bool) -> Option<Rc<Group>> {
        let mut by_app = self.by_app.borrow_mut();
        let groups = by_app.get_mut(app)?;
        let at = groups.iter().position(|group| wanted(group))?;
        let group = groups.swap_remove(at);
        if groups.is_empty() {
            by_app.remove(app);
        }
        Some(group)
    }
}

impl Default for Group {
    fn default() -> Self {
        Self::new(Name::default(), Name::default(), IpAddr::from([0; 16]))
    }
}

impl Group {
    fn new(app: Name, network: Name, ip: IpAddr) -> Self {
        Self {
            app,
            network,
            ip,
            phase: Cell::new(Phase::Open),
            wakers: RefCell::default(),
        }
    }

    fn is_of(&self, network: &Name, ip: IpAddr) -> bool {
        self.ip == ip && self.network == *network
    }

    fn turn(&self, phase: Phase) {
        self.phase.set(phase);
        self.wake();
    }

    fn wake(&self) {
        let wakers = self.wakers.borrow();
        wakers.all.iter().flatten().for_each(Waker::wake_by_ref);
    }
}

impl Wakers {
    fn add(&mut self, waker: Waker) -> usize {
        let at = self.free.pop().unwrap_or(self.all.len());
        match self.all.get_mut(at) {
            Some(place) => *place = Some(waker),
            None => self.all.push(Some(waker)),
        }
        at
    }

    fn remove(&mut self, at: usize) -> Option<Waker> {
        self.free.push(at);
        self.all.get_mut(at)?.take()
    }
}

impl Member {
    /// Whether the connection should end as soon as nothing is under way on it.
    pub(crate) fn is_closing(&self) -> bool {
        self.group.phase.get() != Phase::Open
    }

    /// Does `work` unless the connection must not go on: `None`. To be awaited by one task only.
    pub(crate) async fn unless_over<T>(
        &self,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        std::future::poll_fn(|cx| {
            if self.poll_over(cx).is_ready() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// Ends when the connection must not go on. To be awaited by one task only.
    pub(crate) async fn over(&self) {
        std::future::poll_fn(|cx| self.poll_over(cx)).await;
    }

    fn poll_over(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.group.phase.get() == Phase::Over {
            return Poll::Ready(());
        }
        self.register(cx.waker());
        Poll::Pending
    }

    /// Remembers the task, the first time: a task's waker is the same for its whole life.
    pub(crate) fn register(&self, waker: &Waker) {
        if self.place.get().is_none() {
            let at = self.group.wakers.borrow_mut().add(waker.clone());
            self.place.set(Some(at));
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(at) = self.place.get() {
            // The waker is dropped outside: it may be the last hold on a task with a place of its own.
            let waker = self.group.wakers.borrow_mut().remove(at);
            drop(waker);
        }
        // The last one: itself and the list are all that know of the group.
        if Rc::strong_count(&self.group) == 2 {
            let same = |group: &Group| std::ptr::eq(group, &raw const *self.group);
            let group = self.known.take(&self.group.app, same);
            drop(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(drain_ms: u64) -> Release {
        Release {
            app: Name::from("a"),
            network: Name::from("1"),
            ip: IpAddr::from([0; 16]),
            drain_ms,
        }
    }

    fn enter(groups: &Groups, app: &str) -> Member {
        groups.enter(&app.into(), &"1".into(), IpAddr::from([0; 16]))
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build_local(tokio::runtime::LocalOptions::default());
        runtime.unwrap().block_on(test);
    }

    /// A released group closes, then is over, and wakes its members for both; others go on.
    #[test]
    fn ends_those_who_came_by_an_address() {
        run(async {
            let groups = Groups::default();
            let (mine, other) = (enter(&groups, "a"), enter(&groups, "b"));
            groups.release(&release(0));
            assert!(mine.is_closing() && !other.is_closing());
            mine.over().await;
            let mut pending = std::pin::pin!(std::future::pending::<()>());
            assert_eq!(mine.unless_over(pending.as_mut()).await, None);
            let mut ready = std::pin::pin!(std::future::ready(7));
            assert_eq!(other.unless_over(ready.as_mut()).await, Some(7));
        });
    }

    /// Who enters after the address came back is not ended with those before.
    #[test]
    fn spares_those_who_come_later() {
        run(async {
            let groups = Groups::default();
            let before = enter(&groups, "a");
            groups.release(&release(60_000));
            let after = enter(&groups, "a");
            assert!(before.is_closing() && !after.is_closing());
            drop(before);
            groups.release(&release(60_000));
            assert!(after.is_closing());
        });
    }

    /// Nothing is kept of a group whose members are gone.
    #[test]
    fn forgets_empty_groups() {
        let groups = Groups::default();
        let (one, two) = (enter(&groups, "a"), enter(&groups, "a"));
        drop(one);
        assert_eq!(groups.known.by_app.borrow().len(), 1);
        drop(two);
        assert!(groups.known.by_app.borrow().is_empty());
    }
}
