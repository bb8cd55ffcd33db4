//! Health checks: asked of Machines that run, inside their networks, on one thread for all of them.
//!
//! They are no calls: they take no unit of load, wake nobody and keep nobody awake. What they say goes
//! to the app's routing state (service checks only count there) and, when it is news, to the agent.

mod answer;
mod ask;
mod board;
mod lot;
mod output;
mod places;
mod request;
mod trust;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use roost_core::{Life, Watch};
use roost_wire::Name;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::app::AppHandle;
use crate::checks::lot::Lot;
use crate::checks::places::Places;
use crate::checks::trust::Trust;
use crate::seldom::Seldom;
use crate::shared::Shared;

/// Checks that are being run at one time, each with one socket; see [`Places`].
const MAX_RUNNING: usize = 512;
/// Of one app: whose Machines let every check hang must not keep others from being checked.
const MAX_RUNNING_APP: usize = 64;

/// What the thread is told.
#[derive(Debug)]
enum Order {
    Watch(Arc<AppHandle>, Watch),
    Unwatch(Name),
    Hurry(Name, Life),
    TellAll,
}

/// Where the rest of the process says what is to be checked. Never waits.
#[derive(Debug)]
pub(crate) struct Checker {
    orders: UnboundedSender<Order>,
}

/// What is told to the thread; for [`run`].
#[derive(Debug)]
pub(crate) struct Orders(UnboundedReceiver<Order>);

impl Checker {
    /// A checker and its orders.
    pub(crate) fn new() -> (Self, Orders) {
        let (orders, inbox) = unbounded_channel();
        (Self { orders }, Orders(inbox))
    }

    /// Checks a Machine from now on, or learns what is new of it.
    pub(crate) fn watch(&self, app: Arc<AppHandle>, watch: Watch) {
        self.say(Order::Watch(app, watch));
    }

    /// Checks a Machine no more.
    pub(crate) fn unwatch(&self, machine: Name) {
        self.say(Order::Unwatch(machine));
    }

    /// Somebody waits for the first pass of a Machine's service checks.
    pub(crate) fn hurry(&self, machine: Name, life: Life) {
        self.say(Order::Hurry(machine, life));
    }

    /// The agent is new: it hears of every result.
    pub(crate) fn tell_all(&self) {
        self.say(Order::TellAll);
    }

    fn say(&self, order: Order) {
        if self.orders.send(order).is_err() {
            tracing::error!("the thread that checks Machines is gone");
        }
    }
}

/// What all checks share.
struct Desk {
    shared: Weak<Shared>,
    running: Places,
    /// Those of each app that has Machines watched.
    of_app: RefCell<HashMap<Name, std::rc::Weak<Semaphore>>>,
    trust: Trust,
    /// Bounds what is said about checks that could not be run.
    untried: Seldom,
}

impl Desk {
    /// Says that this host could not run a check.
    fn tell_untried(&self, shared: &Shared, machine: &Name, error: &std::io::Error) {
        if self.untried.is_due(shared.now()) {
            tracing::warn!(%machine, %error, "the host could not run a health check");
        }
    }

    /// The places of an app, shared by its Machines as long as there is one.
    fn places(&self, app: &Name) -> Rc<Semaphore> {
        let mut all = self.of_app.borrow_mut();
        if let Some(places) = all.get(app).and_then(std::rc::Weak::upgrade) {
            return places;
        }
        let places = Rc::new(Semaphore::new(MAX_RUNNING_APP));
        all.retain(|_, places| places.strong_count() > 0);
        all.insert(app.clone(), Rc::downgrade(&places));
        places
    }
}

/// Checks Machines until every [`Checker`] is gone.
pub(crate) async fn run(mut orders: Orders, shared: Weak<Shared>) {
    let desk = Rc::new(Desk {
        shared,
        running: Places::new(MAX_RUNNING),
        of_app: RefCell::default(),
        trust: Trust::default(),
        untried: Seldom::default(),
    });
    let mut lots: HashMap<Name, Lot> = HashMap::new();
    while let Some(order) = orders.0.recv().await {
        match order {
            Order::Watch(app, watch) => {
                let machine = watch.machine.id.clone();
                match lots.get(&machine) {
                    Some(lot) if lot.life() == watch.life => lot.update(&watch),
                    _ => {
                        lots.insert(machine, Lot::new(desk.clone(), app, watch));
                    }
                }
            }
            Order::Unwatch(machine) => {
                lots.remove(&machine);
            }
            Order::Hurry(machine, life) => {
                if let Some(lot) = lots.get(&machine).filter(|lot| lot.life() == life) {
                    lot.hurry();
                }
            }
            Order::TellAll => tell_all(&desk, &lots).await,
        }
    }
}

/// These lines wait for room: nothing says them again.
async fn tell_all(desk: &Desk, lots: &HashMap<Name, Lot>) {
    let Some(shared) = desk.shared.upgrade() else {
        return;
    };
    for line in lots.values().filter_map(Lot::all_results) {
        shared.up_with_room(line).await;
    }
}
