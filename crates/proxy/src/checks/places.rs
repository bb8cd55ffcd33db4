//! Places for checks that are being run at one time: bounded in all, and by organization.
//!
//! An organization has at most as many as are left for the others, so one whose Machines let every check hang
//! delays its own and never takes all: calls of others wait for their checks when a Machine wakes. Whose
//! organization has the fewest goes first.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use roost_wire::Name;
use tokio::sync::oneshot;

/// All places, for one thread.
#[derive(Debug)]
pub(super) struct Places {
    inner: Rc<RefCell<Inner>>,
}

#[derive(Debug)]
struct Inner {
    free: usize,
    orgs: HashMap<Name, Org>,
}

/// One organization's part.
#[derive(Debug, Default)]
struct Org {
    taken: usize,
    line: VecDeque<oneshot::Sender<Place>>,
}

/// A place for one run; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    inner: Rc<RefCell<Inner>>,
    org: Name,
}

impl Places {
    /// So many in all.
    pub(super) fn new(all: usize) -> Self {
        let inner = Inner {
            free: all,
            orgs: HashMap::new(),
        };
        Self {
            inner: Rc::new(RefCell::new(inner)),
        }
    }

    /// A place for a run of this organization, as soon as there is one.
    pub(super) async fn take(&self, org: &Name) -> Place {
        let told = {
            let (tell, told) = oneshot::channel();
            let mut inner = self.inner.borrow_mut();
            inner.orgs.entry(org.clone()).or_default().queue(tell);
            told
        };
        serve(&self.inner);
        match told.await {
            Ok(place) => place,
            // The line lives as long as this does.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Inner {
    /// The next one in line for whom there is a place, which is counted as taken.
    fn next(&mut self) -> Option<(Name, oneshot::Sender<Place>)> {
        let free = self.free;
        self.orgs.retain(|_, org| org.is_there());
        let waiting = self.orgs.iter_mut();
        let waiting = waiting.filter(|(_, org)| !org.line.is_empty() && org.may_take(free));
        let (name, org) = waiting.min_by_key(|(_, org)| org.taken)?;
        let first = org.line.pop_front()?;
        org.taken += 1;
        self.free -= 1;
        Some((name.clone(), first))
    }

    fn give_back(&mut self, name: &Name) {
        self.free += 1;
        if let Some(org) = self.orgs.get_mut(name) {
            org.taken = org.taken.saturating_sub(1);
        }
    }
}

impl Org {
    fn queue(&mut self, tell: oneshot::Sender<Place>) {
        if self.line.len() == self.line.capacity() {
            self.line.retain(|one| !one.is_closed());
        }
        self.line.push_back(tell);
    }

    /// Whether it has a place or somebody in line, at whose head nobody is who has left.
    fn is_there(&mut self) -> bool {
        while self.line.front().is_some_and(oneshot::Sender::is_closed) {
            self.line.pop_front();
        }
        self.taken > 0 || !self.line.is_empty()
    }

    fn may_take(&self, free: usize) -> bool {
        free > 0 && (self.taken == 0 || self.taken + 1 < free)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inner.borrow_mut().give_back(&self.org);
        serve(&self.inner);
    }
}

/// Gives places to those who wait.
fn serve(inner: &Rc<RefCell<Inner>>) {
    loop {
        let found = inner.borrow_mut().next();
        let Some((org, tell)) = found else {
            return;
        };
        let inner = inner.clone();
        // Who left the line was left out, so somebody listens.
        drop(tell.send(Place { inner, org }));
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    /// The place, when it is there at once; else nobody waits for it any more.
    async fn at_once(places: &Places, org: &str) -> Option<Place> {
        let org = Name::from(org);
        let mut taking = pin!(places.take(&org));
        poll_fn(|cx| match taking.as_mut().poll(cx) {
            Poll::Ready(place) => Poll::Ready(Some(place)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    async fn all(places: &Places, org: &str) -> Vec<Place> {
        let mut taken = Vec::new();
        while let Some(place) = at_once(places, org).await {
            taken.push(place);
        }
        taken
    }

    /// However many one organization wants, there are places for others, and all come back.
    #[tokio::test(flavor = "current_thread")]
    async fn nobody_takes_all() {
        let places = Places::new(64);
        let (one, two) = (all(&places, "one").await, all(&places, "two").await);
        assert_eq!((one.len(), two.len()), (32, 16));
        let mut many = Vec::new();
        for number in 0..16 {
            let one_more = at_once(&places, &format!("org-{number}")).await;
            many.push(one_more.expect("another organization's first place"));
        }
        assert!(at_once(&places, "late").await.is_none());
        drop((one, two, many));
        assert_eq!(places.inner.borrow().free, 64);
        assert_eq!(all(&places, "one").await.len(), 32);
        assert_eq!(places.inner.borrow().orgs.len(), 0);
    }

    /// Who waits gets a place that comes back: the organization that has the fewest goes first, and who left
    /// the line takes none.
    #[tokio::test(flavor = "current_thread")]
    async fn who_has_the_fewest_goes_first() {
        let places = Places::new(4);
        let mut one = all(&places, "one").await;
        assert_eq!(one.len(), 2);
        let two = [
            at_once(&places, "two").await,
            at_once(&places, "three").await,
        ];
        assert!(two.iter().all(Option::is_some));
        let (more, other) = (Name::from("one"), Name::from("four"));
        let mut more = pin!(places.take(&more));
        assert!(poll_fn(|cx| Poll::Ready(more.as_mut().poll(cx).is_pending())).await);
        assert!(at_once(&places, "five").await.is_none());
        let mut other = pin!(places.take(&other));
        assert!(poll_fn(|cx| Poll::Ready(other.as_mut().poll(cx).is_pending())).await);
        one.pop();
        let place = other.await;
        assert_eq!(&*place.org, "four");
        drop((one, two, place));
        assert_eq!(&*more.await.org, "one");
    }
}
