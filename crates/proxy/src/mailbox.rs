//! What the control thread asks of a worker thread. Bounded by what there is: a set of networks to
//! look at again, never a queue of changes.

use std::collections::HashSet;
use std::sync::Mutex;

use roost_core::{Place, Release, Touched};
use roost_wire::Name;
use tokio::sync::{Notify, oneshot};

use crate::shared::lock;

/// The mailbox of one worker.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    mail: Mutex<Mail>,
    arrived: Notify,
}

/// What there is to do.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    /// Networks whose listening may have changed.
    pub(crate) networks: HashSet<Name>,
    /// Single places of networks likewise.
    pub(crate) places: HashSet<(Name, Place)>,
    /// Addresses whose connections have to end.
    pub(crate) released: HashSet<Release>,
    /// Machines whose unused connections have to be closed.
    pub(crate) purges: HashSet<Name>,
    /// Who wants to know when all of it is done.
    pub(crate) done: Vec<oneshot::Sender<()>>,
    /// The process's phase has changed.
    pub(crate) turned: bool,
    /// No connection may go on.
    pub(crate) over: bool,
}

impl Mailbox {
    /// Asks to look at the listeners of a network again.
    pub(crate) fn look_at(&self, network: &Name) {
        lock(&self.mail).networks.insert(network.clone());
        self.arrived.notify_one();
    }

    /// Asks to do what a change of the table asks for.
    pub(crate) fn touch(&self, touched: &Touched) {
        let mut mail = lock(&self.mail);
        mail.networks.extend(touched.networks.iter().cloned());
        mail.places.extend(touched.places.iter().cloned());
        mail.released.extend(touched.released.iter().cloned());
        drop(mail);
        self.arrived.notify_one();
    }

    /// Asks to close unused connections to a Machine.
    pub(crate) fn purge(&self, machine: &Name) {
        lock(&self.mail).purges.insert(machine.clone());
        self.arrived.notify_one();
    }

    /// Told when everything asked so far is done.
    pub(crate) fn done(&self) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        lock(&self.mail).done.push(tell);
        self.arrived.notify_one();
        told
    }

    /// Asks to follow the process's phase.
    pub(crate) fn turn(&self) {
        lock(&self.mail).turned = true;
        self.arrived.notify_one();
    }

    /// Asks to reset every connection.
    pub(crate) fn over(&self) {
        lock(&self.mail).over = true;
        self.arrived.notify_one();
    }

    /// Waits for mail and takes all of it.
    pub(crate) async fn next(&self) -> Mail {
        self.arrived.notified().await;
        std::mem::take(&mut *lock(&self.mail))
    }
}
